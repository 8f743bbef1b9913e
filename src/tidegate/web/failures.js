/**
 * What went wrong, in the words of those who read a page.
 *
 * A code of the server means one thing wherever it comes from, so the words go by it; what the server said itself, for
 * those who run it, is told on demand.
 *
 * @typedef {object} Failure A `TidegateError`, or the error of a `failed` event.
 * @property {string} message
 * @property {string} [code]
 * @property {number} [status]
 * @property {string} [requestId]
 */

import { t } from './language.js';
import { sentence } from './page.js';

/** By code, which may be anybody's; `{words}` are the server's own, where only they say what is wrong. */
const WORDS = new Map(Object.entries({
  connection_broken: t('The server cannot be reached.'),
  offline: t('The server cannot be reached. Try again.'),
  malformed_answer: t('Something between this page and the server has changed the answer. Try again.'),

  invalid_request: t('The server did not accept it: {words}.'),
  invalid_value: t('The server did not accept it: {words}.'),
  invalid_json: t('The server could not read what this page has sent. Refresh it, and try again.'),
  malformed_http: t('Something between this page and the server has garbled the request. Try again.'),
  malformed_cursor: t('This page and the server do not agree where the answer stands. Refresh the page.'),
  malformed_message: t('The server could not read what this page has sent. Refresh it, and try again.'),
  unknown_field: t('This page and the server are of different versions. Refresh it.'),
  host_not_allowed: t('The server does not answer at this address. Whoever runs it has to allow it.'),
  not_found: t('There is nothing here. Refresh the page.'),
  method_not_allowed: t('This page and the server are of different versions. Refresh it.'),
  link_over: t('This link is no longer valid.'),
  not_shared: t('It was not shared with this room.'),
  stream_not_found: t('The server no longer knows this answer.'),
  model_not_found: t('This model is no longer there. Choose another.'),
  request_timeout: t('The request took too long to arrive. Try again.'),
  body_too_large: t('This is more than the server takes at once. Say it in fewer words, or begin a new conversation.'),
  unsupported_media_type: t('This page and the server are of different versions. Refresh it.'),
  upgrade_required: t('Something between this page and the server lets no WebSocket through.'),
  headers_too_large: t('This browser sends the server too many cookies. Delete those of this site.'),

  invalid_credentials: t('The server did not accept the key.'),
  token_expired: t('The key has expired. Enter a new one.'),
  missing_scope: t('This key does not allow that.'),
  another_principal: t('This page was opened with another key. Refresh it.'),
  origin_not_allowed: t('The server takes nothing from pages at this address. Whoever runs it has to allow it.'),
  topic_forbidden: t('This key does not open this room.'),
  issuer_unavailable: t('The server cannot check the key at the moment. Try again soon.'),

  conflict: t('The server did not accept it: {words}.'),
  already_attached: t('This page reads the answer already. Refresh it.'),
  idempotency_mismatch: t('This question was asked before, in other words. Ask it anew.'),
  fenced: t('Another program fills this answer now.'),
  offset_mismatch: t('Another program fills this answer now.'),
  stream_ended: t('This answer has ended.'),
  cancelled: t('The answer was stopped.'),
  too_many_shares: t('This answer has too many links. Stop sharing it, and share it again.'),
  too_long: t('The answer was cut off: it is longer than this server keeps.'),

  rate_limit_exceeded: t('That was too often for this server. Wait a moment.'),
  tokens_exhausted: t('Your tokens for this minute are used up. Wait a moment.'),
  too_many_connections: t('Too many pages are open on this server. Close some.'),
  too_many_generations: t('Too many of your answers are being written. Wait for one to end, or stop one.'),
  too_many_readers: t('Too many pages read along. Close some.'),
  storage_full: t('There is no room left for your answers on this server. Delete some, or wait until they expire.'),

  producer_failed: t('The answer was cut off: {words}.'),
  provider_error: t('The answer was cut off: the model failed.'),
  provider_crashed: t('The answer was cut off: the model crashed. It starts again by itself.'),
  context_length_exceeded: t('The conversation is too long for this model. Begin a new one.'),
  upstream_refused: t('The server of this model refused: {words}.'),
  upstream_unreachable: t('The server of this model cannot be reached. Try again soon.'),
  upstream_interrupted: t('The answer was cut off: the server of this model broke off. Try again.'),
  upstream_aborted: t('The answer was cut off: the server of this model gave up. Try again.'),
  upstream_empty: t('The model gave no answer. Try again.'),
  upstream_malformed: t('The server of this model sent something that cannot be read.'),
  upstream_timeout: t('The model took too long. Try again.'),

  internal_error: t('Something went wrong in the server. That is a bug, and its log knows more.'),
  unavailable: t('The server is not available at the moment. Try again soon.'),
  draining: t('The server is about to restart. Try again soon.'),
  overloaded: t('The server has too much to do at the moment. Try again soon.'),
  queue_full: t('Too many are waiting for this model. Try again soon.'),
  store_unavailable: t('The server cannot reach its storage at the moment. What was written is kept.'),
  interrupted: t('The answer was cut off: the server stopped in the middle of it.'),
  cancel_timeout: t('The server could not stop it in time. Try again.'),
}));

/**
 * What happened, as a sentence. An upstream's own code has the upstream's own words.
 *
 * @param {Failure} failure
 */
export function explained({ code = '', status, message }) {
  if (code === 'connection_broken' && status) return t('Something else has answered in place of the server. Try again.');
  return WORDS.get(code)?.replace('{words}', () => message.replace(/\.$/, '')) ?? sentence(message);
}

/**
 * What whoever runs the server asks for: the code, the server's own words, the request that the log knows.
 *
 * @param {Failure} failure
 */
export function technical({ code, message, requestId }) {
  return [code, message, requestId].filter(Boolean).join(' · ');
}
