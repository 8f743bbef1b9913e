/** Events over HTTP: Server-Sent Events, read by `fetch`, so that headers can be set. */

import { pulse, SILENT } from './attention.js';
import { broken, malformed } from './error.js';
import { pathOf, queryOf, request } from './request.js';
import { parsed } from './session.js';
import { newDecoder } from './sse.js';

/** @type {import('./follow.js').Transport} */
export async function overHttp(target, connection, options) {
  const { session, signal, open } = connection;
  const alive = pulse(() => session.silenceMs, (isSign) => connection.cut(SILENT, isSign));
  signal.addEventListener('abort', alive.stop);
  const response = await asked(target, { ...options, signal }, session.ask());
  const verdict = session.answered(response.status, { contentType: response.headers.get('content-type') ?? '' });
  if (verdict === 'ended') return;
  if (verdict === 'refused') throw malformed('event stream');
  open(response.headers.get('tidegate-stream'));
  await read(response, connection, alive);
}

/**
 * Should the connection break before the stream's id is known, the call is repeated with the same Idempotency-Key, so
 * that nothing is generated twice.
 *
 * @param {import('./follow.js').Target} target
 * @param {import('./request.js').Options} options
 * @param {{after?: string, snapshot?: boolean}} place
 */
function asked({ kind, name, start }, options, { after, snapshot }) {
  if (name || !start) {
    return request('GET', `${pathOf(kind, name)}/events${queryOf({ after, snapshot: snapshot && 1 })}`, options);
  }
  const headers = { 'idempotency-key': start.key };
  return request('POST', 'v1/streams', { ...options, headers, body: { ...start.body, stream: true } });
}

/**
 * @param {Response} response
 * @param {import('./follow.js').Connection} connection
 * @param {ReturnType<typeof pulse>} alive
 */
async function read(response, { session, take }, { beat, check }) {
  const decoder = newDecoder();
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  for (;;) {
    const { value, done } = await reader.read().catch(broken);
    if (done) return;
    beat();
    const messages = decoder.feed(value);
    for (const comment of decoder.comments.splice(0)) {
      session.comment(comment);
      check();
    }
    if (decoder.retryMs !== null) session.retry(decoder.retryMs);
    for (const { event, data, id, ownId } of messages) {
      if (take({ event, data: parsed(data), id: ownId ? id : '' })) return;
    }
  }
}
