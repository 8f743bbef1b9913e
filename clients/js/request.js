/**
 * One call of the API, and what may become of it.
 *
 * @typedef {object} Options
 * @property {string | URL} [base] Where the server is mounted. Default: the page's own base address; elsewhere than in
 * pages it has to be said.
 * @property {string | ((refused: boolean) => string | Promise<string>)} [token] An API key or token, sent as a bearer.
 * A function is called for each connection, and once more, with `true`, when the server has refused what it gave.
 * Default: none, and the browser sends its cookie.
 * @property {AbortSignal} [signal] Ends the call, or the following.
 *
 * @typedef {Options & {key?: string, body?: object}} RequestOptions `key`: the Idempotency-Key.
 * @typedef {{patienceMs?: number}} Patience How long one try may take.
 */

import { SILENT, wake } from './attention.js';
import { broken, errorFrom, TidegateError } from './error.js';
import { ANSWER_MS } from './limits.js';
import { parsed } from './session.js';
import { under, within } from './wait.js';

export { TidegateError };

/**
 * @param {Options} options
 * @returns {string} Where the server is mounted, with a slash at its end. Throws a `TypeError` where nothing says it.
 */
export function baseOf({ base }) {
  const page = globalThis.document?.baseURI;
  if (!base && !page) throw new TypeError('`base` is missing.');
  return new URL(`${base || '.'}`.replace(/\/?$/, '/'), page).href;
}

/** A new Idempotency-Key: 128 random bits. `crypto.randomUUID` is missing on plain http. */
export function newKey() {
  return crypto.getRandomValues(new Uint32Array(4)).join('_');
}

/** @param {'stream' | 'topic'} kind @param {string} name */
export function pathOf(kind, name) {
  return `v1/${kind}s/${encodeURIComponent(name)}`;
}

/**
 * @param {Record<string, string | number | boolean | undefined>} fields
 * @returns {string} Those that have a value, as a query.
 */
export function queryOf(fields) {
  const pairs = Object.entries(fields).filter(([, value]) => value);
  return `?${new URLSearchParams(/** @type {[string, string][]} */ (pairs))}`;
}

/**
 * Runs what needs a token, and once more with a new one where the first is refused.
 *
 * @template T
 * @param {Options} options
 * @param {(token: string | undefined) => Promise<T>} work
 * @param {boolean} [refused]
 * @returns {Promise<T>}
 */
export async function authorized(options, work, refused = false) {
  const { token, signal } = options;
  const isAsked = typeof token === 'function';
  let current;
  try {
    current = await (isAsked ? token(refused) : token);
  } catch (error) {
    // It has asked a server of its own, and did not reach that either.
    if (error instanceof TypeError) broken(error);
    throw error;
  }
  signal?.throwIfAborted();
  return work(current).catch((error) => {
    if (!isAsked || refused || error?.status !== 401) throw error;
    return authorized(options, work, true);
  });
}

/**
 * @param {string} method
 * @param {string} path Below the base: `v1/streams`.
 * @param {RequestOptions} options
 * @returns {Promise<Response>} One with a status of 2xx. Rejects with a `TidegateError`, also by the signal: those who
 * have one wait `within` it.
 */
export async function request(method, path, options) {
  const { signal, key, body } = options;
  const url = new URL(path, baseOf(options));
  return authorized(options, async (token) => {
    // A plain object, for those who put a `fetch` of their own before this one and add to it.
    const headers = {
      ...(key && { 'idempotency-key': key }),
      ...(token && { authorization: `Bearer ${token}` }),
      ...(body && { 'content-type': 'application/json' }),
    };
    // A token that no header can have is no fault of the connection: it is refused here.
    new Headers(headers);
    const response = await fetch(url, {
      method,
      signal,
      cache: 'no-store',
      headers,
      body: body && JSON.stringify(body),
    }).catch(broken);
    if (!response.ok) throw await refusal(response);
    return response;
  });
}

/**
 * A call that an application makes: those who wait for the server try at once, too.
 *
 * @param {string} method
 * @param {string} path
 * @param {RequestOptions & Patience} [options]
 * @param {object} [body]
 * @returns {Promise<any>} The answer's JSON; null where there is none.
 */
export async function call(method, path, options = {}, body) {
  wake(baseOf(options));
  const { signal: other, patienceMs = ANSWER_MS } = options;
  const own = under(other);
  const answer = request(method, path, { ...options, signal: own.signal, body }).then(async (response) =>
    response.status === 204 ? null : parsed(await response.text().catch(broken)));
  return within(own, answer, () => own.abort(new TidegateError(SILENT)), patienceMs);
}

/** @param {Response} response */
async function refusal(response) {
  const { status, headers } = response;
  // A proxy in front of the server answers with pages of its own.
  const said = (await response.json().catch(() => null))?.error;
  return errorFrom({ message: `The server answered ${status}.`, ...said }, {
    status,
    retryAfterMs: 1000 * /** @type {any} */ (headers.get('retry-after')) || 0,
    shouldRetry: headers.get('x-should-retry') !== 'false',
  });
}
