/**
 * One reader's place in one stream or topic: what to ask for, and what to make of each answer, event and break.
 *
 * `conformance/session.json` holds it, and the clients in other languages, to the same decisions.
 *
 * @typedef {object} StreamEvent
 * @property {string} type `started`, `delta`, `completed`, …: the table of section 4 of the API.
 * @property {any} data What the event carries, parsed.
 * @property {string} cursor The position after it; hand it to `followStream` as `after` to go on from there.
 *
 * @typedef {{type: string, data: any, cursor?: string}} Message As it comes, perhaps with a position of its own.
 *
 * @typedef {object} Counts
 * @property {number} events Those that were shown.
 * @property {number} duplicates Those that came again, or too late, and were dropped.
 * @property {number} gaps
 * @property {number} reconnects Connections after the first.
 *
 * @typedef {ReturnType<typeof newSession>} Session
 *
 * @typedef {object} SessionOptions
 * @property {string} [after] The cursor to go on from; default: the beginning. Of topics also `earliest` and `latest`,
 * the default.
 * @property {boolean} [snapshot] A stream begins with one `snapshot` event in place of the events so far.
 * @property {number} [attempts] So many tries after a break may fail in a row; default 4. With `Infinity` there is
 * always another one.
 * @property {number} [maxDelay] The longest wait between two tries, in milliseconds; default 8000.
 */

import { malformed } from './error.js';
import { FIRST_DELAY_MS, HEARTBEATS, JITTER, MAX_ASKED_MS } from './limits.js';

/** After one of these a stream has no more events. */
export const TERMINAL = new Set(['completed', 'cancelled', 'failed']);

/** They tell of a position, and do not stand at one. */
const NOTICES = ['subscribed', 'gap', 'snapshot'];

/**
 * Pure: no connection, no clock; randomness is handed in.
 *
 * @param {SessionOptions & {topic?: boolean, random?: () => number}} options
 */
export function newSession({
  after = '',
  snapshot: whole = false,
  topic,
  attempts = 4,
  maxDelay = 8000,
  random = Math.random,
}) {
  /** @type {Counts} */
  const counts = { events: 0, duplicates: 0, gaps: 0, reconnects: 0 };
  let isConnected = false;
  /** Whether there was nothing new since a `reconnect`: those that follow each other at once were a hot loop. */
  let isSentAway = false;
  let failures = 0;
  let comments = 0;
  let floorMs = 0;
  let askedMs = 0;
  /** @type {number | undefined} A wait that is no failure's: the server has asked for it, or the whole is wanted. */
  let plannedMs;

  /** @param {number} ms */
  const leave = (ms) => {
    plannedMs = Math.min(ms, MAX_ASKED_MS);
    session.done = true;
  };

  const session = {
    // `earliest` and `latest` are none.
    cursor: after.includes('-') ? after : '',
    /** @type {StreamEvent | null} The terminal event. */
    end: null,
    /** Whether there is nothing more to ask for. */
    ended: false,
    /** Whether this connection has nothing more to give. */
    done: false,
    counts,
    /** How long a connection may be silent. */
    silenceMs: 24_000,

    /** What the next connection asks for: what comes after a cursor, or the whole. */
    ask() {
      session.done = false;
      comments = 0;
      return whole ? { snapshot: true } : { after: session.cursor || after || undefined };
    },

    /**
     * @param {number} status One of 2xx: the others are errors, and `failed`.
     * @param {string | null} [contentType]
     * @param {string | null} [id] Of the stream, where the answer says it.
     * @returns {boolean} Whether it is one of tidegate's.
     */
    answered(status, contentType = 'text/event-stream', id) {
      if (status === 204) {
        session.ended = session.done = true;
      } else if (status === 202 && id) {
        // With `background` there is a stream, and its events are to be asked for.
        leave(0);
      } else {
        if (status !== 200 || !/^text\/event-stream\s*(;|$)/i.test(contentType ?? '')) return false;
        if (isConnected) counts.reconnects += 1;
        isConnected = true;
      }
      return true;
    },

    /** @param {any} error What a connection came to; thrown where another one would come to the same. */
    failed(error) {
      if (!error?.passing) throw error;
      askedMs = error.retryAfterMs;
    },

    /** @param {string} text The first one of a connection may say the heartbeat; another shows that it holds. */
    comment(text) {
      const seconds = Number(/^heartbeat=([\d.]+)$/.exec(text)?.[1]);
      if (seconds) session.silenceMs = HEARTBEATS * Math.min(1000 * seconds, MAX_ASKED_MS);
      if (comments) failures = 0;
      comments += 1;
    },

    /** @param {number} ms What `retry:` asked for: no later wait is shorter. */
    retry(ms) {
      floorMs = ms;
    },

    /**
     * Takes one event and returns what the application should see of it, if anything.
     *
     * A `gap` says that what was asked for is not kept. A generation can be had as a whole, so the text with a hole is
     * followed by a `snapshot`, which replaces it.
     *
     * @param {Message} message
     * @returns {StreamEvent | null}
     */
    event({ type, data, cursor: id = '' }) {
      if (session.done) return null;
      failures = 0;
      if (type === 'reconnect') {
        if (!Number.isFinite(data?.after_ms)) throw malformed('after_ms');
        leave(Math.max(data.after_ms, isSentAway ? FIRST_DELAY_MS : 0));
        isSentAway = true;
        return null;
      }
      if (id && !NOTICES.includes(type) && isBehind(id, session.cursor)) {
        counts.duplicates += 1;
        return null;
      }
      isSentAway &&= NOTICES.includes(type);
      counts.events += 1;
      if (type === 'gap') {
        counts.gaps += 1;
        if (!topic && !whole) {
          leave(0);
          whole = true;
          return { type, data, cursor: session.cursor };
        }
      }
      if (id) {
        session.cursor = id;
        whole = false;
      }
      const shown = { type, data, cursor: session.cursor };
      if (!topic && TERMINAL.has(type)) {
        session.end = shown;
        session.ended = session.done = true;
      }
      return shown;
    },

    /**
     * The connection was refused, has broken, or was left before the end.
     *
     * @returns {{state: 'reconnecting' | 'offline', delay?: number, planned: boolean}} In milliseconds
     * the wait before the next try, where there is one.
     */
    lost() {
      let delay = plannedMs;
      const planned = delay !== undefined;
      if (!planned && failures < attempts) {
        const scheduled = Math.min(FIRST_DELAY_MS * 2 ** failures, maxDelay);
        delay = Math.max(scheduled, Math.min(Math.max(floorMs, askedMs), MAX_ASKED_MS)) * (1 + JITTER * random());
        failures += 1;
      }
      plannedMs = undefined;
      askedMs = 0;
      return { state: delay === undefined ? 'offline' : 'reconnecting', delay, planned };
    },

    /** Begins to count anew: something says that the network is back, and the next try is made at once. */
    wake() {
      failures = 0;
    },
  };
  return session;
}

/**
 * Whether a position is not after the other one; of those that cannot be compared only an equal one is not.
 *
 * @param {string} id
 * @param {string} cursor
 */
function isBehind(id, cursor) {
  const [, epoch, offset] = /^(.*-)(\d+)$/.exec(id) ?? [];
  return epoch && cursor.startsWith(epoch) ? +offset <= +cursor.slice(epoch.length) : id === cursor;
}

/** @param {string} json */
export function parsed(json) {
  try {
    return JSON.parse(json);
  } catch {
    throw malformed('JSON');
  }
}
