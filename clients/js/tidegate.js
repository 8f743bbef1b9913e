/**
 * The tidegate client: starts a generation, follows it through broken connections, cancels it; and topics.
 *
 * A stream is a log on the server, and every event carries its position. A reader that lost its connection asks
 * for what comes after the last position it saw, so nothing is lost and nothing comes twice.
 *
 * @typedef {import('./session.js').StreamEvent} StreamEvent
 * @typedef {import('./session.js').Counts} Counts
 * @typedef {import('./request.js').Options} Options
 * @typedef {import('./follow.js').State} State
 * @typedef {import('./follow.js').StateDetail} StateDetail
 * @typedef {import('./follow.js').FollowOptions} FollowOptions
 *
 * @typedef {import('./produce.js').Producer} Producer
 * @typedef {import('./produce.js').ProduceOptions} ProduceOptions
 *
 * @typedef {object} Starting
 * @property {string} [key] The Idempotency-Key: the same key attaches to what it has started before.
 * @property {(id: string) => void} [onStart] Called once, with the id of the stream.
 * @typedef {FollowOptions & Starting} StartOptions
 *
 * @typedef {object} Publishing
 * @property {'sse' | 'websocket'} [transport] Of what is followed: a message itself is always a request of its own.
 * @property {string} [type] The event's name; default `message`.
 * @property {boolean} [state] It replaces what those who come late get as the current state.
 * @property {string} [key] The Idempotency-Key.
 * @property {number} [attempts] So many tries after the first may fail; default 4.
 * @property {number} [maxDelay] The longest wait between two tries, in milliseconds; default 8000.
 * @typedef {Options & Publishing} PublishOptions
 *
 * @typedef {object} ListedStream A stream, as a list tells of it.
 * @property {string} id
 * @property {string} model
 * @property {'queued' | 'running' | 'completed' | 'cancelled' | 'failed'} status
 * @property {number | null} queue_position From 1; null where it does not wait for its model.
 * @property {string | null} finish_reason
 * @property {{prompt_tokens: number, completion_tokens: number, total_tokens: number, estimated: boolean} | null} usage
 * @property {{type: string, code: string, message: string} | null} error
 * @property {string} cursor The position after what this tells.
 * @property {number} created_at In Unix seconds, like the next.
 * @property {number | null} ended_at
 * @property {Record<string, string>} metadata
 * @property {string | null} [question] What the user asked last; a list leaves out what is long.
 *
 * @typedef {object} Told What a list leaves out.
 * @property {string} text
 * @property {string} reasoning
 * @property {{index: number, id: string | null, name: string | null, arguments: string}[]} tool_calls
 * @typedef {ListedStream & Told} Snapshot
 */

import { TidegateError } from './error.js';
import { follow } from './follow.js';
import { insist } from './insist.js';
import { iterate } from './iterate.js';
import { remembered } from './memory.js';
import { call, newKey, pathOf, queryOf } from './request.js';
import { TERMINAL } from './session.js';

export { produce } from './produce.js';
export { newKey, remembered, TERMINAL, TidegateError };

/**
 * Starts a generation and follows it to its end.
 *
 * @param {object} body `{model, messages, …}`: the body of `POST /v1/streams`.
 * @param {StartOptions} [options]
 * @returns {Promise<StreamEvent | null>} The terminal event.
 */
export const startStream = (body, { key = newKey(), onStart, ...options } = {}) =>
  follow({ kind: 'stream', name: '', start: { body, key, onStart } }, options);

/**
 * Follows a stream to its end.
 *
 * @param {string} id
 * @param {FollowOptions} [options]
 * @returns {Promise<StreamEvent | null>} The terminal event; null where the cursor was already past it.
 * Rejects with a `TidegateError` where another try would not help, and with an `AbortError` by the signal; outside
 * browsers also when it is offline: `code` is `offline`, and `cursor` the place to go on from.
 */
export const followStream = (id, options) =>
  follow({ kind: 'stream', name: id }, options);

/**
 * Follows a topic until it is left by the signal.
 *
 * @param {string} name
 * @param {FollowOptions} [options]
 * @returns {Promise<never>} Rejects as `followStream` does.
 */
export const followTopic = (name, options) =>
  /** @type {Promise<never>} */ (follow({ kind: 'topic', name }, options));

/**
 * The events of a stream: `for await (const event of events(id))`.
 *
 * @param {string} id
 * @param {FollowOptions} [options]
 */
export const events = (id, options) => iterate({ kind: 'stream', name: id }, options);

/**
 * The events of a topic.
 *
 * @param {string} name
 * @param {FollowOptions} [options]
 */
export const topicEvents = (name, options) => iterate({ kind: 'topic', name }, options);

/**
 * Publishes to a topic; through broken connections, and once.
 *
 * @param {string} topic
 * @param {any} data
 * @param {PublishOptions} [options]
 * @returns {Promise<{cursor: string}>}
 */
export const publish = (topic, data, { type, state, key = newKey(), ...options } = {}) => {
  const body = { data, type, state };
  return insist(() => call('POST', `${pathOf('topic', topic)}/messages`, { ...options, key }, body), options);
};

/**
 * Who follows a topic.
 *
 * @param {string} topic
 * @param {Options} [options]
 * @returns {Promise<{principal: string, connections: number}[]>}
 */
export const presence = (topic, options) =>
  call('GET', `${pathOf('topic', topic)}/presence`, options);

/**
 * Asks for the end of a stream, and waits for it.
 *
 * @param {string} id
 * @param {Options & {reason?: string}} [options]
 * @returns {Promise<{status: string, cursor: string}>} Whichever end won.
 */
export const cancelStream = (id, { reason, ...options } = {}) =>
  call('POST', `${pathOf('stream', id)}/cancel`, options, { reason });

/**
 * A stream as a whole, as it is now.
 *
 * @param {string} id
 * @param {Options} [options]
 * @returns {Promise<Snapshot>}
 */
export const readStream = (id, options) =>
  call('GET', pathOf('stream', id), options);

/**
 * The caller's streams, newest first.
 *
 * @param {Options & {limit?: number, before?: string, status?: string}} [options] `before`: those older than this id.
 * @returns {Promise<{data: ListedStream[], has_more: boolean}>}
 */
export const listStreams = ({ limit, before, status, ...options } = {}) =>
  call('GET', `v1/streams${queryOf({ limit, before, status })}`, options);

/**
 * Lets whoever has the link read a stream, and nothing else.
 *
 * @param {string} id
 * @param {Options & {ttlSeconds?: number}} [options] For how long; default: the server's, a day.
 * @returns {Promise<{token: string, url: string, expires_at: number}>} The token, the page it leads to, and until when,
 * in Unix seconds. The server tells a token only once.
 */
export const shareStream = (id, { ttlSeconds, ...options } = {}) =>
  call('POST', `${pathOf('stream', id)}/share`, options, { ttl_seconds: ttlSeconds });

/**
 * Takes back every link to a stream; who reads by one is sent away.
 *
 * @param {string} id
 * @param {Options} [options]
 * @returns {Promise<void>}
 */
export const unshareStream = (id, options) =>
  call('DELETE', `${pathOf('stream', id)}/share`, options);

/**
 * Ends a stream if it is live, and has the server forget it.
 *
 * @param {string} id
 * @param {Options} [options]
 * @returns {Promise<void>}
 */
export const deleteStream = (id, options) =>
  call('DELETE', pathOf('stream', id), options);
