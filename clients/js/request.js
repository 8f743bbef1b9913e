/**
 * One call of the API, and what may become of it.
 *
 * @typedef {object} Options
 * @property {string | URL} [base] Where the server is mounted; default: the page's own base address.
 * @property {string} [token] An API key or token, sent as a bearer; default: none, and the browser sends its cookie.
 */

const WORTH_ANOTHER_TRY = new Set([0, 408, 429, 502, 503, 504]);

/** An answer of the server that is not 2xx; `status` 0 is a connection that could not be made, or broke. */
export class TidegateError extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, code?: string, requestId?: string, retryAfterMs?: number, cause?: unknown}} [about]
   */
  constructor(message, { status = 0, code = 'connection_broken', requestId = '', retryAfterMs = 0, cause } = {}) {
    super(message, { cause });
    this.name = 'TidegateError';
    this.status = status;
    this.code = code;
    this.requestId = requestId;
    this.retryAfterMs = retryAfterMs;
  }

  /** Whether the same call may succeed a while later. */
  get passing() {
    return WORTH_ANOTHER_TRY.has(this.status);
  }
}

/**
 * @param {string} method
 * @param {string} path
 * @param {Options & {signal?: AbortSignal, headers?: Record<string, string>, body?: object}} options
 */
export async function request(method, path, { base, token, signal, headers = {}, body }) {
  const response = await fetch(new URL(path, base ?? document.baseURI), {
    method,
    signal,
    cache: 'no-store',
    headers: {
      ...headers,
      ...(token && { authorization: `Bearer ${token}` }),
      ...(body && { 'content-type': 'application/json' }),
    },
    body: body && JSON.stringify(body),
  }).catch(broken);
  if (!response.ok) throw await errorFrom(response);
  return response;
}

/** @param {Response} response */
async function errorFrom(response) {
  const text = await response.text().catch(() => '');
  let error;
  try {
    error = JSON.parse(text).error;
  } catch {
    // A proxy in front of the server answers with pages of its own.
  }
  return new TidegateError(error?.message ?? `The server answered ${response.status}.`, {
    status: response.status,
    code: error?.code,
    requestId: response.headers.get('x-request-id') ?? '',
    retryAfterMs: Number(response.headers.get('retry-after-ms')) || 0,
  });
}

/**
 * @param {unknown} cause
 * @returns {never}
 */
export function broken(cause) {
  throw new TidegateError('The connection broke.', { cause });
}

/** @type {Record<string, number>} */
const STATUS = {
  invalid_request_error: 400,
  authentication_error: 401,
  permission_error: 403,
  not_found_error: 404,
  conflict_error: 409,
  rate_limit_error: 429,
  unavailable_error: 503,
};

/**
 * An error as a WebSocket brings it: without a status, which its type stands for.
 *
 * @param {{type: string, code: string, message: string, request_id: string | null, retry_after_ms?: number}} error
 */
export function refusal({ type, code, message, request_id: requestId, retry_after_ms: retryAfterMs = 0 }) {
  const status = STATUS[type] ?? 500;
  return new TidegateError(message, { status, code, requestId: requestId ?? '', retryAfterMs });
}
