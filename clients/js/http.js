/** Events over HTTP: Server-Sent Events, read by `fetch`, so that headers can be set. */

import { pulse, SILENT } from './attention.js';
import { malformed, TidegateError } from './error.js';
import { pathOf, queryOf, request } from './request.js';
import { parsed } from './session.js';
import { SseDecoder } from './sse.js';

/** @type {import('./follow.js').Transport} */
export async function overHttp(target, connection, options) {
  const { session, signal, open } = connection;
  const { beat, stop } = pulse(() => session.silenceMs, () => connection.cut(SILENT));
  signal.addEventListener('abort', stop);
  const response = await (target.name ? resume : begin)(target, { ...options, signal }, session.ask());
  const verdict = session.answered(response.status, { contentType: response.headers.get('content-type') ?? '' });
  if (verdict === 'ended') return;
  if (verdict === 'refused') throw malformed('event stream');
  open();
  await read(response, connection, beat);
}

/**
 * @param {import('./follow.js').Target} target
 * @param {import('./request.js').Options} options
 * @param {{after: string, snapshot: boolean}} asked
 */
function resume({ kind, name }, options, { after, snapshot }) {
  return request('GET', `${pathOf(kind, name)}/events${queryOf({ after, snapshot: snapshot && 1 })}`, options);
}

/**
 * Should the connection break before the stream's id is known, the call is repeated with the same Idempotency-Key, so
 * that nothing is generated twice.
 *
 * @param {import('./follow.js').Target} target
 * @param {import('./request.js').Options} options
 */
async function begin({ start }, options) {
  const { body, key, named } = /** @type {NonNullable<typeof start>} */ (start);
  const headers = { 'idempotency-key': key };
  const response = await request('POST', 'v1/streams', { ...options, headers, body: { ...body, stream: true } });
  const id = response.headers.get('tidegate-stream');
  if (id) named(id);
  return response;
}

/**
 * @param {Response} response
 * @param {import('./follow.js').Connection} connection
 * @param {() => void} beat
 */
async function read(response, { session, take }, beat) {
  const decoder = new SseDecoder();
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  for (;;) {
    const { value, done } = await reader.read().catch((cause) => {
      throw new TidegateError(undefined, { cause });
    });
    if (done) return;
    beat();
    const messages = decoder.feed(value);
    for (const comment of decoder.comments.splice(0)) session.comment(comment);
    if (decoder.retryMs !== null) session.retry(decoder.retryMs);
    for (const { event, data, id, ownId } of messages) {
      if (take({ event, data: parsed(data), id: ownId ? id : '' })) return;
    }
  }
}
