/**
 * The tidegate client for browsers: starts a generation, follows it through broken connections, cancels it.
 *
 * A stream is a log on the server, and every event carries its position. A reader that lost its connection asks
 * for what comes after the last position it saw, so nothing is lost and nothing comes twice. `Session` decides
 * what to do on each event and each failure; the functions below it only fetch, wait and report.
 *
 * @typedef {'connecting' | 'streaming' | 'reconnecting' | 'offline' | 'ended'} State
 *
 * @typedef {import('./session.js').StreamEvent} StreamEvent
 *
 * @typedef {object} StateDetail
 * @property {number} [delay] Milliseconds until the next try, while reconnecting or offline.
 * @property {Error} [error] Why the last try failed.
 * @property {() => void} [retry] Tries at once.
 *
 * @typedef {import('./request.js').Options} Options
 *
 * @typedef {object} FollowOptions
 * @property {string} [after] The cursor to go on from; default: the beginning.
 * @property {boolean} [whole] Begins with one `snapshot` event in place of the events so far.
 * @property {AbortSignal} [signal] Leaves the stream, which goes on without this reader.
 * @property {(event: StreamEvent) => void} [onEvent]
 * @property {(state: State, detail: StateDetail) => void} [onState]
 *
 * @typedef {object} StartOptions
 * @property {string} [key] The Idempotency-Key: the same key attaches to what it has started before.
 * @property {(id: string) => void} [onStart] Called once, with the id of the stream.
 */

import { onReturn } from './attention.js';
import { broken, request, TidegateError } from './request.js';
import { Session } from './session.js';
import { SseDecoder } from './sse.js';

export { Session, SseDecoder, TidegateError };

/** Three heartbeats of the server without a byte: the connection is dead, though nobody has said so. */
const SILENCE_MS = 45_000;

/** A page that comes back to the front waits no longer than a heartbeat for a sign of life. */
const AWAY_MS = 16_000;

/**
 * Starts a generation and follows it to its end.
 *
 * Should the connection break before the stream's id is known, the call is repeated with the same
 * Idempotency-Key, so that nothing is generated twice.
 *
 * @param {object} body `{model, messages, …}`: the body of `POST /v1/streams`.
 * @param {Options & FollowOptions & StartOptions} [options]
 * @returns {Promise<StreamEvent | null>} The terminal event.
 */
export function startStream(body, options = {}) {
  const { key = newKey(), onStart } = options;
  const session = new Session();
  let id = '';
  return run(session, options, async (signal) => {
    if (id) return open(session, id, options, signal);
    const response = await request('POST', 'v1/streams', {
      ...options,
      signal,
      headers: { 'idempotency-key': key },
      body: { ...body, stream: true },
    });
    id = response.headers.get('tidegate-stream') ?? '';
    if (!id) throw new TidegateError('The server did not name the stream.', { status: response.status });
    onStart?.(id);
    return response;
  });
}

/**
 * Follows a stream to its end.
 *
 * @param {string} id
 * @param {Options & FollowOptions} [options]
 * @returns {Promise<StreamEvent | null>} The terminal event; null where the cursor was already past it.
 * Rejects with a `TidegateError` where another try would not help, and with an `AbortError` by the signal.
 */
export function followStream(id, options = {}) {
  const session = new Session({ after: options.after, whole: options.whole });
  return run(session, options, (signal) => open(session, id, options, signal));
}

/**
 * Asks for the end of a stream, and waits for it.
 *
 * @param {string} id
 * @param {Options & {reason?: string}} [options]
 * @returns {Promise<{status: string, cursor: string}>} Whichever end won.
 */
export async function cancelStream(id, options = {}) {
  const body = options.reason ? { reason: options.reason } : {};
  return (await request('POST', `v1/streams/${encodeURIComponent(id)}/cancel`, { ...options, body })).json();
}

/**
 * A stream as a whole, as it is now.
 *
 * @param {string} id
 * @param {Options} [options]
 */
export async function readStream(id, options = {}) {
  return (await request('GET', `v1/streams/${encodeURIComponent(id)}`, options)).json();
}

/**
 * Lets whoever has the link read a stream, and nothing else.
 *
 * @param {string} id
 * @param {Options & {ttlSeconds?: number}} [options] For how long; default: the server's, a day.
 * @returns {Promise<{token: string, url: string, expires_at: number}>} The token, the page it leads to, and until when,
 * in Unix seconds. The server tells a token only once.
 */
export async function shareStream(id, options = {}) {
  const body = options.ttlSeconds ? { ttl_seconds: options.ttlSeconds } : {};
  return (await request('POST', `v1/streams/${encodeURIComponent(id)}/share`, { ...options, body })).json();
}

/**
 * Takes back every link to a stream; who reads by one is sent away.
 *
 * @param {string} id
 * @param {Options} [options]
 */
export async function unshareStream(id, options = {}) {
  await request('DELETE', `v1/streams/${encodeURIComponent(id)}/share`, options);
}

/**
 * Hands a credential over for a cookie that no script can read. Calls of pages of the server's own origin then need no
 * token.
 *
 * @param {string} token An API key or JWT.
 * @param {Options} [options]
 */
export async function beginSession(token, options = {}) {
  await request('POST', 'v1/session', { ...options, body: { token } });
}

/**
 * Takes the cookie back.
 *
 * @param {Options} [options]
 */
export async function endSession(options = {}) {
  await request('DELETE', 'v1/session', options);
}

/**
 * The names of the models that may be asked.
 *
 * @param {Options} [options]
 * @returns {Promise<string[]>}
 */
export async function listModels(options = {}) {
  const list = await (await request('GET', 'v1/models', options)).json();
  return list.data.map((/** @type {{id: string}} */ model) => model.id);
}

/** A new Idempotency-Key: 128 random bits. `crypto.randomUUID` is missing on plain http. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * @param {Session} session
 * @param {FollowOptions} options
 * @param {(signal: AbortSignal) => Promise<Response>} connect
 * @returns {Promise<StreamEvent | null>}
 */
async function run(session, { signal, onEvent, onState }, connect) {
  onState?.('connecting', {});
  for (;;) {
    /** @type {Error | undefined} */
    let error;
    try {
      const response = await watched(signal, async (inner, alive) => {
        const answer = await connect(inner);
        if (answer.status !== 204) {
          onState?.('streaming', {});
          await read(answer, session, onEvent, alive);
        }
        return answer;
      });
      if (session.end || response.status === 204) break;
    } catch (caught) {
      signal?.throwIfAborted();
      error = /** @type {Error} */ (caught);
      if (!(error instanceof TidegateError && error.passing)) throw error;
    }
    const delay = session.broke(error instanceof TidegateError ? error.retryAfterMs : 0);
    const woken = await pause(delay, signal, (retry) => {
      onState?.(session.offline ? 'offline' : 'reconnecting', { delay, error, retry });
    });
    if (woken) session.revive();
  }
  onState?.('ended', {});
  return session.end;
}

/**
 * @param {Session} session
 * @param {string} id
 * @param {Options} options
 * @param {AbortSignal} signal
 */
function open(session, id, options, signal) {
  const query = new URLSearchParams(session.query()).toString();
  const path = `v1/streams/${encodeURIComponent(id)}/events${query && `?${query}`}`;
  return request('GET', path, { ...options, signal });
}

/**
 * @param {Response} response
 * @param {Session} session
 * @param {((event: StreamEvent) => void) | undefined} onEvent
 * @param {() => void} alive
 */
async function read(response, session, onEvent, alive) {
  const decoder = new SseDecoder();
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read().catch(broken);
      if (done) return;
      alive();
      for (const message of decoder.feed(value)) {
        const event = session.received(message);
        if (event) onEvent?.(event);
        if (session.done) return;
      }
      if (decoder.retryMs !== null) session.atLeast(decoder.retryMs);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

/**
 * Runs one connection and breaks it when it is silent for too long, or may have died while the page was away:
 * phones cut sockets in the background without telling.
 *
 * @template T
 * @param {AbortSignal | undefined} signal
 * @param {(signal: AbortSignal, alive: () => void) => Promise<T>} work
 * @returns {Promise<T>}
 */
async function watched(signal, work) {
  signal?.throwIfAborted();
  const connection = new AbortController();
  const over = new AbortController();
  let last = Date.now();
  const check = (/** @type {number} */ limitMs) => {
    if (Date.now() - last > limitMs) connection.abort(new Error('The connection went silent.'));
  };
  const timer = setInterval(check, 5000, SILENCE_MS);
  onReturn(() => check(AWAY_MS), over.signal);
  signal?.addEventListener('abort', () => connection.abort(signal.reason), { signal: over.signal });
  try {
    return await work(connection.signal, () => {
      last = Date.now();
    });
  } finally {
    clearInterval(timer);
    over.abort();
  }
}

/**
 * Waits, but not past a sign that the network is back. Returns whether there was one.
 *
 * `navigator.onLine` is no reason not to try: without any network a server on this machine still answers.
 *
 * @param {number} ms
 * @param {AbortSignal | undefined} signal
 * @param {(retry: () => void) => void} onWait
 * @returns {Promise<boolean>}
 */
async function pause(ms, signal, onWait) {
  const over = new AbortController();
  let timer;
  try {
    return await new Promise((resolve, reject) => {
      const wake = () => resolve(true);
      timer = setTimeout(() => resolve(false), ms);
      onReturn(wake, over.signal);
      signal?.addEventListener('abort', () => reject(signal.reason), { signal: over.signal });
      onWait(wake);
    });
  } finally {
    clearTimeout(timer);
    over.abort();
  }
}
