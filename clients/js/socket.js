/**
 * Events over WebSocket: one socket for all that is followed at one server with one token.
 *
 * A socket lives as long as its connection. What was followed on it goes on from its own cursor on another one, which
 * the first that comes back opens.
 *
 * @typedef {object} Waiting A call that waits for its answer, or a reader that waits for events.
 * @property {(message: any) => void} [take] What it throws, it rejects with.
 * @property {(error: unknown) => void} reject
 * @property {{key?: string}} [message] What a call says; with a key, where it is a question.
 *
 * @typedef {object} Socket
 * @property {string} shared What those who share it have in common.
 * @property {Map<string | number, Waiting>} waiting Calls by their ids, readers by what they follow.
 * @property {(message: object, resolve: (ok: any) => void, reject: (error: unknown) => void) => number} ask
 * `resolve` is called before another message is looked at; it returns the call's id.
 * @property {(key: string | number, message?: object) => void} forget The message tells the server, too.
 * @property {(error?: unknown) => void} drop Ends the connection; the error is for those who still use it.
 */

import { pulse, SILENT } from './attention.js';
import { EXPIRED, GOING_AWAY, OWN, TOO_LARGE, UNHEARD } from './wire.js';
import { errorFrom, TidegateError } from './error.js';
import { MAX_EVENTS, PONG_MS, SOCKET_SILENCE_MS, SPREAD_MS } from './limits.js';
import { authorized, baseOf } from './request.js';
import { parsed } from './session.js';

/**
 * What the types of errors stand for, by their first letters: `authentication_error`, `conflict_error`, …
 *
 * @type {Record<string, number>}
 */
const STATUS = { in: 400, au: 401, pe: 403, no: 404, co: 409, ra: 429, un: 503 };

/** @type {Set<Socket>} */
const sockets = new Set();

/**
 * Opens a connection, which others share.
 *
 * @param {string} base
 * @param {string} token
 * @param {string} shared
 * @returns {Socket}
 */
function opened(base, token, shared) {
  /** @type {Socket['waiting']} */
  const waiting = new Map();
  let lastId = UNHEARD;
  let isProbed = false;

  const url = new URL('v1/ws', base.replace('http', 'ws'));
  const isWord = /^[\w.~+-]*$/.test(token);
  const connection = new WebSocket(url, ['tidegate.v1', ...(token && isWord ? [`bearer.${token}`] : [])]);

  /** @param {string | number} id @param {object} [message] Once the connection is open, all that waits is sent. */
  const send = (id, message) => {
    if (message && connection.readyState === 1) connection.send(JSON.stringify({ id, ...message }));
  };

  const probe = () => {
    if (isProbed) socket.drop(new TidegateError(SILENT));
    else send(UNHEARD, { op: 'ping' });
    return (isProbed = true);
  };
  const { beat, stop } = pulse(() => (isProbed ? PONG_MS : SOCKET_SILENCE_MS), probe);

  /** @param {string | number} key @param {any} message */
  const hand = (key, message) => {
    const one = waiting.get(key);
    try {
      one?.take?.(message);
    } catch (error) {
      one?.reject(error);
    }
  };

  /** @type {Socket} */
  const socket = {
    shared,
    waiting,

    ask(message, resolve, reject) {
      const take = (/** @type {any} */ { ok, error }) => {
        if (error) throw errorFrom(error, { status: STATUS[error.type.slice(0, 2)] ?? 500 });
        resolve(ok);
      };
      waiting.set((lastId += 1), { message, take, reject });
      send(lastId, message);
      return lastId;
    },

    forget(key, message) {
      if (!waiting.delete(key)) return;
      send(UNHEARD, message);
      if (!waiting.size) socket.drop();
    },

    drop(error) {
      if (!sockets.delete(socket)) return;
      stop();
      // One that is dead would take its time to say that it is closed.
      connection.onmessage = connection.onclose = null;
      connection.close();
      waiting.forEach(({ reject }) => reject(error));
    },
  };

  connection.onopen = () => {
    // A subprotocol cannot have every character.
    if (!isWord) send(UNHEARD, { op: 'auth', token });
    waiting.forEach(({ message }, id) => send(id, message));
  };
  connection.onmessage = ({ data }) => {
    beat();
    isProbed = false;
    try {
      const message = parsed(data);
      const { id, stream, topic } = message;
      hand(stream ? 'stream' + stream : topic ? 'topic' + topic : id, message);
      socket.forget(id);
    } catch (error) {
      socket.drop(error);
    }
  };
  connection.onclose = ({ code, reason }) => {
    // What has been followed goes on with a new token; what was refused at once is told so, below.
    if (code === GOING_AWAY || code === EXPIRED) {
      const data = { after_ms: SPREAD_MS * Math.random() };
      waiting.forEach(({ message }, key) => message || hand(key, { type: 'reconnect', data }));
    }
    if (code === TOO_LARGE) {
      // A question, then. It would be so again, and end what else is on its socket each time.
      const error = new TidegateError(reason, { status: 413, code: 'body_too_large' });
      waiting.forEach(({ message, reject }) => message?.key && reject(error));
    }
    socket.drop(new TidegateError(reason, { status: Math.max(code - OWN, 0) }));
  };

  sockets.add(socket);
  return socket;
}

/**
 * Ends the sockets that the browser's cookie has opened: it stands for somebody else now, or for nobody. What was
 * followed on them comes back with the new one.
 *
 * @param {string} base
 */
export function dropSockets(base) {
  for (const socket of [...sockets]) if (socket.shared === `${base} `) socket.drop(new TidegateError());
}

/**
 * @param {import('./follow.js').Target} target
 * @param {import('./follow.js').Connection} connection
 * @param {import('./follow.js').FollowOptions & {signal: AbortSignal}} options
 * @returns {Promise<void>}
 */
export function overSocket(target, { session, room, open, take }, options) {
  const { kind, start } = target;
  const { signal } = options;
  const enter = kind === 'topic' ? 'subscribe' : 'attach';
  const exit = kind === 'topic' ? 'unsubscribe' : 'detach';
  const keyOf = () => kind + target.name;
  const place = session.ask();
  return authorized(options, (token = '') => new Promise((_, reject) => {
    const base = baseOf(options);
    // Whoever shares a socket speaks as whoever opened it: what counts is the token, wherever it comes from.
    const shared = `${base} ${token}`;
    // One socket can follow the same only once.
    const found = [...sockets].find((one) => one.shared === shared && !one.waiting.has(keyOf()));
    const socket = found ?? opened(base, token, shared);
    const { waiting } = socket;
    /** @type {Waiting} What the socket still has on its way from an attachment of before is not taken. */
    const reader = { reject };
    const isMine = () => waiting.get(keyOf()) === reader;
    let asked = UNHEARD;
    const comeBack = () => take({ type: 'reconnect', data: { after_ms: 0 } });
    const leave = () => {
      if (signal.reason?.passing) socket.drop(signal.reason);
      // Whoever follows the same at once must not be left by the answer to this one.
      socket.forget(asked);
      if (isMine()) socket.forget(keyOf(), { op: exit, [kind]: target.name });
    };
    const begin = (/** @type {any} */ { ended, stream, topic, cursor, state }) => {
      open(ended ? 204 : 200, stream);
      if (!waiting.has(keyOf())) waiting.set(keyOf(), reader);
      /** @type {ReturnType<typeof room>} */
      let taken = false;
      reader.take = (message) => {
        // A stream has an end, and may be cancelled when it is left.
        if (topic && !taken && (taken = room(MAX_EVENTS))) taken.then(comeBack);
        if (!taken || message.type === 'reconnect') take(message);
      };
      // What the same key has started is followed on this socket already: this reader goes to another one.
      if (!isMine()) comeBack();
      if (signal.aborted) leave();
      else if (topic) take({ type: 'subscribed', data: { cursor, state }, cursor });
    };
    const refused = (/** @type {unknown} */ error) => {
      if (isMine()) socket.forget(keyOf());
      reject(error);
    };
    signal.addEventListener('abort', leave);
    if (target.name) {
      waiting.set(keyOf(), reader);
      asked = socket.ask({ op: enter, [kind]: target.name, ...place }, begin, refused);
    } else {
      // Over HTTP the same key stands for the same body.
      socket.ask({ ...start?.body, stream: true, op: 'create', key: start?.key }, begin, refused);
    }
  }));
}
