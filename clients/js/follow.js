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
 * @property {(why?: string, atOnce?: boolean) => void} cut Breaks it; the next one is made at once, or after a wait.
 * @property {(status: number, id: string | null, contentType?: string | null) => void} open It was
 * answered: events may come, of the stream of this id.
 * @property {(message: import('./session.js').Message) => void} take
 * @property {Room} room
 *
 * @typedef {(most: number) => Promise<unknown> | false} Room While more events than that wait to be taken: until
 * that changes.
 *
 * @typedef {(target: Target, connection: Connection, options: FollowOptions & {signal: AbortSignal}) => Promise<void>
 * } Transport The signal is aborted when the connection is of no more use; by a `TidegateError` if it is broken.
 */

import { lookAfter, waiters, wake } from './attention.js';
import { BROKEN, malformed, TidegateError } from './error.js';
import { overHttp } from './http.js';
import { STALE_MS } from './limits.js';
import { remember, remembered } from './memory.js';
import { baseOf } from './request.js';
import { newSession } from './session.js';
import { overSocket } from './socket.js';
import { newTurn, pause, under, within } from './wait.js';

/**
 * @param {Target} target
 * @param {FollowOptions} [options]
 * @param {Room} [room] Without it, whoever is told of an event has taken it.
 * @returns {Promise<StreamEvent | null>} The terminal event; null where the cursor was already past it.
 */
export async function follow(target, options = {}, room = () => false) {
  const { signal, onEvent, onState, remember: key } = options;
  const base = baseOf(options);
  const transport = options.transport === 'websocket' ? overSocket : overHttp;
  const kept = remembered(key ?? '');
  const { after = kept?.id === target.name ? kept.cursor : undefined } = options;
  const session = newSession({ ...options, after, topic: target.kind === 'topic' });
  /** @type {State} */
  let state;
  let current = under();
  /** Ends the wait for the next try. */
  let turn = newTurn();
  let began = 0;
  /** When the server is ready for another try, by its own words; 0 during the first one. */
  let readyAt = 0;

  /** @param {State} next @param {Partial<StateDetail>} [more] */
  const tell = (next, more) => {
    state = next;
    onState?.(next, { counts: session.counts, cursor: session.cursor, ...more });
  };
  /** @type {Connection['cut']} */
  const cut = (why, atOnce) => {
    if (atOnce) {
      session.wake();
      turn.resolve(true);
    }
    current.abort(new TidegateError(why));
  };
  /** Ends the wait, or the try that is being made. */
  const retry = () => {
    if (state !== 'streaming') cut(undefined, true);
  };
  const waiter = {
    base,
    away: false,
    quietUntil: 0,
    wake() {
      const now = performance.now();
      if (current.signal.aborted ? now >= readyAt : waiter.away && now - began > STALE_MS) retry();
    },
  };

  /** @param {AbortSignal} over @returns {Connection} */
  const connection = (over) => ({
    session,
    room,
    cut,
    open(status, id, contentType) {
      if (!session.answered(status, contentType, id)) throw readyAt ? new TidegateError() : malformed('event stream');
      if (id && !target.name) {
        target.name = id;
        target.start?.onStart?.(id);
      }
      if (session.done) current.abort(session);
      if (over.aborted) return;
      waiter.away = false;
      if (state !== 'streaming') tell('streaming', { cut: () => cut() });
    },
    take(message) {
      if (over.aborted) return;
      const event = session.event(message);
      waiter.quietUntil = 0;
      if (event && key) remember(key, target.name, event.cursor);
      if (event) onEvent?.(event);
      if (session.done) current.abort(session);
    },
  });

  /** Makes one connection, and returns when it is over: with the reason. */
  const connect = async () => {
    signal?.throwIfAborted();
    began = performance.now();
    current = under(signal);
    const over = current.signal;
    const error = await within(current, transport(target, connection(over), { ...options, signal: over })).then(
      () => new TidegateError(),
      (caught) => caught,
    );
    // Words of a proxy, while the server is away, are no refusal. At first they say that it is not where it should be.
    if (readyAt && error?.code === BROKEN) error.status = 0;
    if (error !== session) session.failed(error);
    return error;
  };

  wake(base);
  waiters.add(waiter);
  try {
    tell('connecting');
    for (;;) {
      turn = newTurn();
      const error = await connect();
      if (session.ended) break;
      const { state: next, delay, planned } = session.lost();
      readyAt = performance.now() + (error.retryAfterMs || 0);
      if (!planned) {
        // What the server itself has said is not changed by its being there.
        waiter.away = error.code === BROKEN;
        tell(next, { delay, error, retry });
        lookAfter();
      }
      // Outside browsers nothing tells that the network is back: a program would wait for ever, or end in the middle.
      const isHurried = await pause(signal, delay ?? (globalThis.navigator?.onLine === undefined ? 0 : delay), turn);
      if (!isHurried && delay === undefined) throw Object.assign(error, { code: 'offline', cursor: session.cursor });
      if (!planned) tell('reconnecting', { delay: 0, error, retry });
    }
    tell('ended');
    return session.end;
  } finally {
    current.abort();
    waiters.delete(waiter);
  }
}
