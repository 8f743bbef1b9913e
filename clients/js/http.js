/** Events over HTTP: Server-Sent Events, read by `fetch`, so that headers can be set. */

import { pulse, SILENT } from './attention.js';
import { broken } from './error.js';
import { pathOf, queryOf, request } from './request.js';
import { parsed } from './session.js';
import { newDecoder } from './sse.js';

/** @type {import('./follow.js').Transport} */
export async function overHttp(target, { session, room, cut, open, take }, options) {
  const { signal } = options;
  const { beat, stop } = pulse(() => session.silenceMs, (isSign) => room(0) || cut(SILENT, isSign));
  signal.addEventListener('abort', stop);
  const { kind, name, start } = target;
  const { after, snapshot } = session.ask();
  // Should the connection break before the stream's id is known, the call is repeated with the same Idempotency-Key, so
  // that nothing is generated twice.
  const { status, headers, body } = await (start && !name
    ? request('POST', 'v1/streams', {
        ...options,
        key: start.key,
        body: { ...start.body, stream: true },
      })
    : request('GET', `${pathOf(kind, name)}/events${queryOf({ after, snapshot: snapshot && 1 })}`, options));
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
    // What nobody takes stays with the server, which has room for it.
    await room(0);
  }
}
