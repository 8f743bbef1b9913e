/** What pages of the server itself need besides: its cookie, and the models to choose from. */

import { baseOf, call } from './request.js';
import { dropSockets } from './socket.js';

/** @typedef {import('./request.js').Options} Options */

/**
 * Hands a credential over for a cookie that no script can read. Calls of pages of the server's own origin then need no
 * token.
 *
 * @param {string} token An API key or JWT.
 * @param {Options} [options]
 * @returns {Promise<void>}
 */
export async function beginSession(token, options = {}) {
  await call('POST', 'v1/session', options, { token });
  dropSockets(baseOf(options));
}

/**
 * Takes the cookie back.
 *
 * @param {Options} [options]
 * @returns {Promise<void>}
 */
export async function endSession(options = {}) {
  await call('DELETE', 'v1/session', options);
  dropSockets(baseOf(options));
}

/**
 * The names of the models that may be asked.
 *
 * @param {Options} [options]
 * @returns {Promise<string[]>}
 */
export async function listModels(options) {
  const list = await call('GET', 'v1/models', options);
  return list.data.map((/** @type {{id: string}} */ model) => model.id);
}
