/**
 * Hooks for React 18 and later: an answer, and a topic, as a component shows them.
 *
 * What arrives is kept outside React and shown once per animation frame. A component that leaves only stops following;
 * one that React mounts twice, as its StrictMode does, starts and follows once.
 *
 * @typedef {import('./react-store.js').ConnectionOptions} ConnectionOptions
 * @typedef {import('./react-stream.js').StreamShown} StreamShown
 * @typedef {import('./react-stream.js').ToolCall} ToolCall
 * @typedef {import('./react-topic.js').TopicShown} TopicShown
 * @typedef {import('./react-topic.js').TopicMessage} TopicMessage
 *
 * @typedef {object} StreamOptions
 * @property {string | null} [id] A stream to follow that has been started already.
 * @property {string} [remember] Where `sessionStorage` keeps the stream, so that it is followed again after a refresh.
 *
 * @typedef {object} TopicOptions
 * @property {string} [after] Where to begin: `latest` (default), `earliest` or a cursor.
 * @property {number} [limit] How many messages are kept; default: 200.
 */

import { useState } from 'react';

import { useSubject } from './react-store.js';
import { Stream } from './react-stream.js';
import { Topic } from './react-topic.js';

/**
 * An answer: one that is asked for by `start`, or one that exists, by its `id`.
 *
 * @param {ConnectionOptions & StreamOptions} [options]
 */
export function useStream(options = {}) {
  const [stream] = useState(() => new Stream());
  const { start, stop, retry } = stream;
  const shown = useSubject(stream, options, options.id ?? '');
  return { ...shown, isLive: shown.status !== 'idle' && shown.status !== 'failed' && !shown.end, start, stop, retry };
}

/**
 * A topic: its latest messages, its state, and who is there.
 *
 * @param {string | null} name Null: none yet.
 * @param {ConnectionOptions & TopicOptions} [options]
 */
export function useTopic(name, options = {}) {
  const [topic] = useState(() => new Topic());
  const { publish, retry } = topic;
  return { ...useSubject(topic, options, name ?? ''), publish, retry };
}
