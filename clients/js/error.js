/** Statuses after which the same call may succeed: of no answer at all, and of servers and proxies that restart. */
const TRANSIENT = [0, 408, 425, 429, 500, 502, 503, 504];

/** The code of an error that does not come from tidegate itself. */
export const BROKEN = 'connection_broken';

/**
 * What became of a call that has not brought what was asked for.
 *
 * @typedef {object} About
 * @property {number} [status] 0: a connection that could not be made, or broke.
 * @property {string} [code] `offline`: nothing says when to try again.
 * @property {string} [cursor] The position from which a following that is offline goes on.
 * @property {string} [requestId]
 * @property {number} [retryAfterMs]
 * @property {boolean} [shouldRetry]
 * @property {unknown} [cause]
 */
export class TidegateError extends Error {
  name = 'TidegateError';
  status = 0;
  code = BROKEN;
  requestId = '';
  retryAfterMs = 0;
  shouldRetry = true;
  cursor = '';

  /** @param {string} [message] @param {About} [about] */
  constructor(message, about = {}) {
    super(message || 'The connection broke.', about);
    Object.assign(this, about);
  }

  /** Whether the same call may succeed a while later. */
  get passing() {
    return this.shouldRetry && TRANSIENT.includes(this.status);
  }
}

/**
 * @param {any} error As the server says it.
 * @param {About} about What it does not say.
 */
export const errorFrom = ({ message, code = BROKEN, request_id: requestId = '', retry_after_ms: retryAfterMs = 0 }, about) =>
  new TidegateError(message, { code, requestId, retryAfterMs, ...about });

/** @param {unknown} cause @returns {never} */
export function broken(cause) {
  throw new TidegateError(undefined, { cause });
}

/** @param {string} what It does not keep to the protocol, by a proxy's doing perhaps: asking again changes nothing. */
export const malformed = (what) =>
  new TidegateError(`The server sent no ${what}.`, { status: 200, code: 'malformed_answer' });
