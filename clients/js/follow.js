/**
 * Follows a stream or topic through broken connections, over either transport.
 *
 * `Session` decides what to do on each event and each failure; here it is done: connecting, waiting, reporting.
 *
 * @typedef {'connecting' | 'streaming' | 'reconnecting' | 'offline' | 'ended'} State
 *
 * @typedef {import('./session.js').StreamEvent} StreamEvent
 * @typedef {import('./session.js').Counts} Counts
 * @typedef {import('./request.js').Options} Options
 *
 * @typedef {object} StateDetail
 * @property {Counts} counts Of this following so far; one object, which goes on counting.
 * @property {string} cursor The position; empty before the first.
 * @property {number} [delay] While reconnecting: milliseconds until the next try; 0 while it is being made.
 * @property {Error} [error] Why the last try failed, while reconnecting or offline.
 * @property {() => void} [retry] Tries at once, while reconnecting or offline.
 * @property {() => void} [cut] Breaks the connection, as a bad network would, while streaming; it comes back by itself.
 *
 * @typedef {object} Following
 * @property {'sse' | 'websocket'} [transport] Default: `sse`. Over `websocket` all that one page, or program, follows
 * with the same token shares a socket.
 * @property {string} [remember] The position is kept in this tab under this key, and read by the next following of the
 * same stream or topic. A page that kept no text asks for a `snapshot`, too.
 * @property {(event: StreamEvent) => void} [onEvent] What it throws ends the following.
 * @property {(state: State, detail: StateDetail) => void} [onState]
 *
 * @typedef {Options & Following & import('./session.js').SessionOptions} FollowOptions
 *
 * @typedef {object} Target What is followed.
 * @property {'stream' | 'topic'} kind
 * @property {string} name Empty while the stream is not known.
 * @property {{body: object, key: string, onStart?: (id: string) => void}} [start] How it comes to be.
 *
 * @typedef {object} Connection What a transport needs for one connection.
 * @property {import('./session.js').Session} session
 * @property {AbortSignal} signal Aborted when the connection is of no more use; by a `TidegateError` if it is broken.
 * @property {(why?: string, atOnce?: boolean) => void} cut Breaks it; the next one is made at once, or after a wait.
 * @property {(id?: string | null) => void} open Events may come, of the stream of this id.
 * @property {(message: {event: string, data: any, id?: string}) => boolean} take Whether it has nothing more to give.
 *
 * @typedef {(target: Target, connection: Connection, options: FollowOptions) => Promise<void>} Transport
 */

import { attend, lookAfter, wake } from './attention.js';
import { BROKEN, TidegateError } from './error.js';
import { overHttp } from './http.js';
import { remember, remembered } from './memory.js';
import { baseOf } from './request.js';
import { newSession } from './session.js';
import { overSocket } from './socket.js';
import { either, pause } from './wait.js';

/** A try that has had no answer for so long is made again when there is a sign that the network is back. */
const STALE_MS = 2000;

/**
 * @param {Target} target
 * @param {FollowOptions} options
 * @returns {Promise<StreamEvent | null>} The terminal event; null where the cursor was already past it.
 */
export async function follow(target, options) {
  const { signal, onEvent, onState, remember: key } = options;
  const base = baseOf(options);
  const transport = options.transport === 'websocket' ? overSocket : overHttp;
  const { after = placeOf(target, options) } = options;
  const session = newSession({ ...options, after, topic: target.kind === 'topic' });
  const { counts } = session;
  /** @type {State} */
  let state;
  /** @type {AbortController | undefined} */
  let current;
  /** @type {(() => void) | undefined} */
  let hurry;
  let began = 0;
  let isLate = false;

  const tell = (/** @type {State} */ next, /** @type {Partial<StateDetail>} */ more = {}) => {
    state = next;
    onState?.(next, { counts, cursor: session.cursor, ...more });
  };
  /** @type {Connection['cut']} */
  const cut = (why, atOnce = false) => {
    if (!current) return;
    isLate = atOnce;
    current.abort(new TidegateError(why));
  };
  const retry = () => {
    session.wake();
    hurry?.();
  };
  const waiter = {
    base,
    away: false,
    quietUntil: 0,
    wake() {
      if (hurry) retry();
      else if (waiter.away && Date.now() - began > STALE_MS) cut(undefined, true);
    },
  };

  /** @param {AbortSignal} over @returns {Connection} */
  const connection = (over) => ({
    session,
    signal: over,
    cut,
    open(id) {
      if (id && !target.name) {
        target.name = id;
        target.start?.onStart?.(id);
      }
      if (over.aborted) return;
      waiter.away = false;
      if (state !== 'streaming') tell('streaming', { cut: () => cut() });
    },
    take(message) {
      if (over.aborted) return true;
      const event = session.event(message);
      waiter.quietUntil = 0;
      if (event && key) remember(key, target.name, event.cursor);
      if (event) onEvent?.(event);
      return session.done || over.aborted;
    },
  });

  /** Makes one connection, and returns when it is over: with the reason. */
  const connect = async () => {
    signal?.throwIfAborted();
    began = Date.now();
    current = new AbortController();
    const over = either(current.signal, signal);
    try {
      await transport(target, connection(over), options);
      return new TidegateError();
    } catch (caught) {
      signal?.throwIfAborted();
      const error = over.aborted ? over.reason : caught;
      session.failed(error);
      return error;
    } finally {
      current.abort();
      current = undefined;
    }
  };

  wake(base);
  const leave = attend(waiter);
  try {
    tell('connecting');
    for (;;) {
      const error = await connect();
      const { state: next, delay, planned } = session.lost();
      if (next === 'ended') break;
      if (!planned) {
        // What the server itself has said is not changed by its being there.
        waiter.away = error.code === BROKEN;
        tell(next, { delay: delay ?? undefined, error, retry });
        lookAfter(base);
      }
      if (isLate) session.wake();
      else await pause(signal, delay, planned ? undefined : (resolve) => (hurry = resolve));
      isLate = false;
      hurry = undefined;
      if (!planned) tell('reconnecting', { delay: 0, error, retry });
    }
    tell('ended');
    return session.end;
  } finally {
    leave();
  }
}

/** @param {Target} target @param {FollowOptions} options */
function placeOf({ name }, { remember: key }) {
  const place = key && remembered(key);
  return place && place.id === name ? place.cursor : undefined;
}
