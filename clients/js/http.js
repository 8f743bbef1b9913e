/** Events over HTTP: Server-Sent Events, read by `fetch`, so that headers can be set. */

import { pulse, SILENT } from './attention.js';
import { broken } from './error.js';
import { pathOf, queryOf, request } from './request.js';
import { parsed } from './session.js';
import { newDecoder } from './sse.js';

/** @type {import('./follow.js').Transport} */
export async function overHttp(target, { session, cut, open, take }, options) {
  const { signal } = options;
  const { beat, stop } = pulse(() => session.silenceMs, (isSign) => cut(SILENT, isSign));
  signal.addEventListener('abort', stop);
  const { status, headers, body } = await asked(target, options, session.ask());
  open(status, headers.get('tidegate-stream'), headers.get('content-type'));
  const decode = newDecoder({
    ...session,
    event: (type, data, id, isOwn) => take({ type, data: parsed(data), cursor: isOwn ? id : '' }),
  });
  const reader = body?.getReader();
  while (reader && !signal.aborted) {
    beat();
    const { value, done } = await reader.read().catch(broken);
    if (done) return;
    decode(value);
  }
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
  if (start && !name) {
    const headers = { 'idempotency-key': start.key };
    return request('POST', 'v1/streams', { ...options, headers, body: { ...start.body, stream: true } });
  }
  return request('GET', `${pathOf(kind, name)}/events${queryOf({ after, snapshot: snapshot && 1 })}`, options);
}
