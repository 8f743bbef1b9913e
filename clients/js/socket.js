/**
 * Events over WebSocket: one socket for all that is followed at one server with one token.
 *
 * A socket lives as long as its connection. What was followed on it goes on from its own cursor on another one, which
 * the first that comes back opens.
 *
 * @typedef {import('./request.js').Options} Options
 *
 * @typedef {object} Reader
 * @property {import('./follow.js').Connection['take']} take
 * @property {() => void} resolve
 * @property {(error: unknown) => void} reject
 *
 * @typedef {object} Call
 * @property {object} message
 * @property {(ok: any) => void} resolve Called before another message is looked at.
 * @property {(error: unknown) => void} reject
 */

import { pulse, SILENT } from './attention.js';
import { TidegateError } from './error.js';
import { authorized, baseOf } from './request.js';
import { parsed } from './session.js';

/** A socket that was silent for so long is asked whether it lives, and given so long to answer: scripts cannot see the
 * pings of the protocol itself. */
const SILENCE_MS = 15_000;
const ANSWER_MS = 9000;

/** A server that leaves may send all of its clients away at once: they come back spread over this. */
const SPREAD_MS = 1000;
const GOING_AWAY = 1001;
const EXPIRED = 4401;

/** Close codes from here on are statuses of HTTP with 4000 added. */
const OWN_CODES = 4000;

/** The id of calls whose answer nobody waits for. */
const UNHEARD = 0;

/**
 * What the types of errors stand for, by their first letters: `authentication_error`, `conflict_error`, …
 *
 * @type {Record<string, number>}
 */
const STATUS = { in: 400, au: 401, pe: 403, no: 404, co: 409, ra: 429, un: 503 };

/**
 * @typedef {object} Socket
 * @property {string} base
 * @property {Options['token']} token
 * @property {Map<string, Reader>} readers By what they follow: `stream gen_…`, `topic name`.
 * @property {(call: Call) => void} ask
 * @property {(key: string, message: object) => void} leave Tells the server, too.
 * @property {(error?: unknown) => void} drop Ends the connection; the error is for those who still use it.
 *
 */

/** @type {Set<Socket>} */
const sockets = new Set();

/**
 * Opens a connection, which others share.
 *
 * @param {Options} options
 * @param {string | undefined} token
 * @returns {Socket}
 */
function opened(options, token) {
  /** @type {Map<number, Call>} */
  const calls = new Map();
  /** @type {Map<string, Reader>} */
  const readers = new Map();
  let lastId = 0;
  let isProbed = false;

  const url = new URL('v1/ws', baseOf(options));
  url.protocol = url.protocol.replace('http', 'ws');
  const isWord = /^[\w.~+-]*$/.test(token ?? '');
  const connection = new WebSocket(url, ['tidegate.v1', ...(token && isWord ? [`bearer.${token}`] : [])]);

  /** @param {number} id @param {object} message Once the connection is open, all that waits is sent. */
  const send = (id, message) => connection.readyState === 1 && connection.send(JSON.stringify({ id, ...message }));

  /** @type {Socket['ask']} */
  const ask = (call) => {
    calls.set((lastId += 1), call);
    send(lastId, call.message);
  };

  /** @type {Socket['drop']} */
  const drop = (error) => {
    if (!sockets.delete(socket)) return;
    stop();
    // One that is dead would take its time to say that it is closed.
    connection.onmessage = connection.onclose = null;
    connection.close();
    for (const { reject } of [...calls.values(), ...readers.values()]) reject(error);
  };

  /** Nobody may need it any more. */
  const rest = () => {
    if (!readers.size && !calls.size) drop();
  };

  /** @type {Socket['leave']} */
  const leave = (key, message) => {
    if (!readers.delete(key)) return;
    send(UNHEARD, message);
    rest();
  };

  const probe = () => {
    if (isProbed) drop(new TidegateError(SILENT));
    else send(UNHEARD, { op: 'ping' });
    return (isProbed = true);
  };
  const { beat, stop } = pulse(() => (isProbed ? ANSWER_MS : SILENCE_MS), probe);

  /** @param {any} message */
  const answered = ({ id, ok, error }) => {
    const call = calls.get(id);
    calls.delete(id);
    try {
      if (error) throw refusal(error);
      call?.resolve(ok);
    } catch (cause) {
      call?.reject(cause);
    }
    rest();
  };

  /** @param {string} key @param {{type: string, data: any, cursor?: string}} message */
  const happened = (key, { type, data, cursor }) => {
    const reader = readers.get(key);
    try {
      if (reader?.take({ event: type, data, id: cursor })) reader.resolve();
    } catch (error) {
      reader?.reject(error);
    }
  };

  connection.onopen = () => {
    // A subprotocol cannot have every character.
    if (!isWord) send(UNHEARD, { op: 'auth', token });
    calls.forEach(({ message }, id) => send(id, message));
  };
  connection.onmessage = ({ data }) => {
    beat();
    isProbed = false;
    try {
      const message = parsed(data);
      const { stream, topic, type } = message;
      if (type) happened(stream ? `stream ${stream}` : `topic ${topic}`, message);
      else answered(message);
    } catch (error) {
      drop(error);
    }
  };
  connection.onclose = ({ code, reason }) => {
    // What has been followed goes on with a new token; what was refused at once is told so, below.
    if (code === GOING_AWAY || code === EXPIRED) {
      const data = { after_ms: SPREAD_MS * Math.random() };
      readers.forEach((_, key) => happened(key, { type: 'reconnect', data }));
    }
    drop(new TidegateError(reason || undefined, { status: Math.max(code - OWN_CODES, 0) }));
  };

  const socket = { base: baseOf(options), token: options.token, readers, ask, leave, drop };
  sockets.add(socket);
  return socket;
}

/**
 * @param {Options} options
 * @param {string | undefined} token
 * @param {string} key What is to be followed on it: one socket can follow it once.
 */
function socketOf(options, token, key) {
  const base = baseOf(options);
  const shared = [...sockets].find((one) => one.base === base && one.token === options.token && !one.readers.has(key));
  return shared ?? opened(options, token);
}

/**
 * @param {object} message
 * @param {Options} options
 * @returns {Promise<any>} What the server answers.
 */
export function callOverSocket(message, options) {
  return authorized(options, (token) => {
    const socket = socketOf(options, token, '');
    return new Promise((resolve, reject) => socket.ask({ message, resolve, reject }));
  });
}

/**
 * @param {import('./follow.js').Target} target
 * @param {import('./follow.js').Connection} connection
 * @param {import('./follow.js').FollowOptions} options
 * @returns {Promise<void>}
 */
export function overSocket(target, { session, signal, open, take }, options) {
  const { start } = target;
  const asked = session.ask();
  const keyOf = () => `${target.kind} ${target.name}`;
  return authorized(options, (token) => {
    const socket = socketOf(options, token, keyOf());
    const leave = () => {
      if (signal.reason instanceof TidegateError) socket.drop(signal.reason);
      else socket.leave(keyOf(), message(target, 'detach', 'unsubscribe'));
    };
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => {
        leave();
        reject(signal.reason);
      });
      // What the same socket still had on its way from an attachment of before is nobody's.
      /** @type {Reader} */
      const reader = { take: () => false, resolve: () => resolve(undefined), reject };
      if (target.name) socket.readers.set(keyOf(), reader);
      socket.ask({
        message: target.name
          ? { ...message(target, 'attach', 'subscribe'), ...asked }
          : { ...start?.body, op: 'create', key: start?.key },
        reject(error) {
          socket.readers.delete(keyOf());
          reject(error);
        },
        resolve(ok) {
          if (session.answered(ok.ended ? 204 : 200) === 'ended') return reader.resolve();
          reader.take = take;
          open(ok.stream);
          socket.readers.set(keyOf(), reader);
          if (signal.aborted) return leave();
          const { topic, cursor, state } = ok;
          if (topic) take({ event: 'subscribed', data: { cursor, state }, id: cursor });
        },
      });
    });
  });
}

/**
 * @param {import('./follow.js').Target} target
 * @param {string} ofStream
 * @param {string} ofTopic
 */
function message({ kind, name }, ofStream, ofTopic) {
  return { op: kind === 'stream' ? ofStream : ofTopic, [kind]: name };
}

/**
 * An error as a WebSocket brings it: without a status, which its type stands for.
 *
 * @param {{type: string, code: string, message: string, request_id: string | null, retry_after_ms?: number}} error
 */
function refusal({ type, code, message: text, request_id: requestId, retry_after_ms: retryAfterMs = 0 }) {
  const status = STATUS[type.slice(0, 2)] ?? 500;
  return new TidegateError(text, { status, code, requestId: requestId ?? '', retryAfterMs });
}
