// Runs the vectors of conformance/sse.json on the browser's decoder, however their bytes are cut.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import { newDecoder } from '../../../clients/js/sse.js';

const vectors = JSON.parse(readFileSync(new URL('../../../conformance/sse.json', import.meta.url), 'utf8'));

const bytesOf = (chunk) => Buffer.from(chunk.base64 ?? chunk, chunk.base64 === undefined ? 'utf8' : 'base64');

function decode(chunks) {
  const decoder = newDecoder();
  const events = chunks.flatMap((chunk) => decoder.feed(chunk));
  return { decoder, events };
}

function check(vector, chunks, how) {
  const { decoder, events } = decode(chunks);
  const where = `${vector.name}, ${how}`;
  assert.equal(events.length, vector.events.length, where);
  for (const [at, expected] of vector.events.entries()) {
    const { event, data, id, retryMs, ownId } = events[at];
    const own = 'own_id' in expected ? { own_id: ownId } : {};
    assert.deepEqual({ event, data, id, retry_ms: retryMs, ...own }, expected, where);
  }
  if ('comments' in vector) assert.deepEqual(decoder.comments, vector.comments, where);
  if ('last_event_id' in vector) assert.equal(decoder.lastEventId, vector.last_event_id, where);
  if ('retry_ms' in vector) assert.equal(decoder.retryMs, vector.retry_ms, where);
}

for (const vector of vectors) {
  const chunks = vector.chunks.map(bytesOf);
  const whole = Buffer.concat(chunks);
  check(vector, chunks, 'as given');
  check(vector, [whole], 'in one piece');
  check(vector, Array.from(whole, (byte) => Uint8Array.of(byte)), 'byte by byte');
  for (let at = 1; at < Math.min(whole.length, 500); at += 1) {
    check(vector, [whole.subarray(0, at), new Uint8Array(), whole.subarray(at)], `cut at ${at}`);
  }
}
console.log(vectors.length);
