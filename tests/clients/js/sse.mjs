// Runs the vectors of conformance/sse.json on the browser's decoder, however their bytes are cut.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import { newDecoder } from '../../../clients/js/sse.js';

const vectors = JSON.parse(readFileSync(new URL('../../../conformance/sse.json', import.meta.url), 'utf8'));

const bytesOf = (chunk) => Buffer.from(chunk.base64 ?? chunk, chunk.base64 === undefined ? 'utf8' : 'base64');

function decode(chunks) {
  const told = { events: [], comments: [], retryMs: null };
  const decoder = newDecoder({
    comment: (text) => told.comments.push(text),
    retry: (ms) => (told.retryMs = ms),
    event: (event, data, id, ownId) => told.events.push({ event, data, id, ownId, retryMs: told.retryMs }),
  });
  chunks.forEach(decoder);
  return told;
}

function check(vector, chunks, how) {
  const { events, comments, retryMs: lastRetryMs } = decode(chunks);
  const where = `${vector.name}, ${how}`;
  assert.equal(events.length, vector.events.length, where);
  for (const [at, expected] of vector.events.entries()) {
    const { event, data, id, retryMs, ownId } = events[at];
    const own = 'own_id' in expected ? { own_id: ownId } : {};
    // It tells of `retry:` at the line, before the event of its block.
    const retry = { retry_ms: expected.retry_ms && retryMs };
    assert.deepEqual({ event, data, id, ...retry, ...own }, expected, where);
  }
  // It has no use for `last_event_id`: it comes back with the position of an event that it has shown.
  if ('comments' in vector) assert.deepEqual(comments, vector.comments, where);
  if ('retry_ms' in vector) assert.equal(lastRetryMs, vector.retry_ms, where);
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
