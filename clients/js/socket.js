/**
 * One WebSocket for any number of streams and topics, through broken connections.
 *
 * What is followed is followed again after every break, from the last cursor of each, so nothing is lost and nothing
 * comes twice. Calls that a break left without an answer are made again; those that must count once carry a key.
 *
 * @typedef {import('./session.js').StreamEvent} StreamEvent
 * @typedef {import('./tidegate.js').State} State
 * @typedef {import('./tidegate.js').StateDetail} StateDetail
 *
 * @typedef {object} SocketOptions
 * @property {string | URL} [base] Where the server is mounted; default: the page's own base address.
 * @property {(state: State, detail: StateDetail) => void} [onState] `streaming` is a connection that is open; `ended`
 * comes with the error for which it was given up. After a 401, `open` tries again with new credentials.
 *
 * @typedef {object} Listener
 * @property {string} [after] Where to begin.
 * @property {boolean} [whole] A stream begins with one `snapshot` event in place of the events so far.
 * @property {(event: StreamEvent) => void} onEvent
 * @property {(error: TidegateError) => void} [onRefused] It cannot be followed, now or later.
 *
 * @typedef {{kind: 'stream' | 'topic', name: string, cursor: string, whole: boolean} & Listener} Following
 *
 * @typedef {object} Call
 * @property {object} message
 * @property {boolean} lasting Whether it is made again after a break.
 * @property {(result: any) => void} resolve
 * @property {(error: TidegateError) => void} reject
 */

import { onReturn } from './attention.js';
import { refusal, TidegateError } from './request.js';
import { Session, TERMINAL } from './session.js';
import { newKey } from './tidegate.js';

/** A connection that was silent for so long is asked whether it lives, and given so long to answer. */
const SILENCE_MS = 20_000;
const ANSWER_MS = 5000;
const CONNECT_MS = 15_000;

/** A server that leaves may send all of its clients away at once: they come back spread over this, or sooner where the
 * server has said so. */
const SPREAD_MS = 1000;
const GOING_AWAY = 1001;

/** Close codes from here on are statuses of HTTP with 4000 added. */
const OWN_CODES = 4000;
const FINAL = new Set([4400, 4401, 4403]);

const KEYED = new Set(['create', 'publish']);

export class Socket {
  /** @param {SocketOptions} [options] */
  constructor({ base, onState } = {}) {
    this._url = new URL('v1/ws', base ?? document.baseURI);
    this._url.protocol = this._url.protocol.replace('http', 'ws');
    this._onState = onState;
    this._schedule = new Session();
    /** @type {Map<number, Call>} */
    this._calls = new Map();
    /** @type {Map<string, Following>} */
    this._followed = new Map();
    this._lastId = 0;
    /** How soon the server wants this client back where it leaves. */
    this._awayMs = SPREAD_MS;
    /** @type {WebSocket | null} */
    this._connection = null;
    this._over = new AbortController();
    /** @type {ReturnType<typeof setTimeout> | undefined} Until the next try, the next question, or the end of patience. */
    this._timer = undefined;
    onReturn(() => this._returned(), this._over.signal);
  }

  /** Connects, unless it is or does. */
  open() {
    if (this._connection || this._over.signal.aborted) return;
    const connection = new WebSocket(this._url, 'tidegate.v1');
    this._connection = connection;
    connection.onopen = () => this._opened();
    connection.onmessage = ({ data }) => this._received(JSON.parse(data));
    connection.onclose = ({ code, reason }) => this._broke(code, reason);
    this._wait(CONNECT_MS, () => this._broke(0, 'The server did not answer.'));
  }

  /** Leaves for good. */
  close() {
    this._over.abort();
    this._drop();
  }

  /**
   * Makes a call, now or when the connection is there, and again until it is answered.
   *
   * @param {string} op
   * @param {object} fields
   * @returns {Promise<any>} What the server answers; rejects with a `TidegateError`.
   */
  call(op, fields) {
    const key = KEYED.has(op) ? { key: newKey() } : {};
    return this._ask({ op, ...key, ...fields }, true);
  }

  /** @param {string} topic @param {Listener} listener `after`: a cursor, `earliest` or `latest`. */
  subscribe(topic, listener) {
    this._add({ kind: 'topic', name: topic, cursor: '', whole: false, ...listener });
  }

  /** @param {string} stream @param {Listener} listener */
  attach(stream, listener) {
    this._add({ kind: 'stream', name: stream, cursor: '', whole: false, ...listener });
  }

  // Following.

  /** @param {Following} following */
  _add(following) {
    const name = nameOf(following);
    if (this._followed.has(name)) return;
    this._followed.set(name, following);
    if (this._isOpen) this._follow(following);
  }

  /** @param {Following} following */
  _follow(following) {
    const { kind, name, after, cursor, whole } = following;
    const connection = this._connection;
    const from = cursor || after;
    const message = {
      op: kind === 'topic' ? 'subscribe' : 'attach',
      [kind]: name,
      ...(whole && !cursor ? { snapshot: true } : from && { after: from }),
    };
    this._ask(message, false).catch((/** @type {TidegateError} */ error) => {
      if (this._connection !== connection) return;
      if (error.passing) this._followLater(following, error.retryAfterMs || ANSWER_MS);
      else if (error.status !== 401) {
        this._followed.delete(nameOf(following));
        following.onRefused?.(error);
      }
    });
  }

  /** @param {Following} following @param {number} ms */
  _followLater(following, ms) {
    const connection = this._connection;
    setTimeout(() => {
      if (this._connection === connection) this._follow(following);
    }, ms);
  }

  /** @param {{stream?: string, topic?: string, type: string, data: any, cursor?: string}} message */
  _happened({ stream, topic, type, data, cursor = '' }) {
    const following = this._followed.get(stream ? `stream ${stream}` : `topic ${topic}`);
    if (!following) return;
    if (type === 'reconnect') {
      this._awayMs = Math.min(data.after_ms ?? 0, SPREAD_MS);
      this._followLater(following, data.after_ms ?? 0);
    } else if (type === 'gap' && stream) {
      this._followAnew(following);
    } else if (cursor || type === 'presence') {
      this._pass(following, { type, data, cursor });
    }
  }

  /** @param {Following} following A stream can be had as a whole, so that its text has no hole. */
  _followAnew(following) {
    following.cursor = '';
    following.whole = true;
    this._ask({ op: 'detach', stream: following.name }, false).catch(() => {});
    this._follow(following);
  }

  /** @param {Following} following @param {StreamEvent} event */
  _pass(following, event) {
    // What the place before a gap still had on its way.
    if (following.whole && !following.cursor && event.type !== 'snapshot') return;
    if (event.cursor) following.cursor = event.cursor;
    if (following.kind === 'stream' && TERMINAL.has(event.type)) this._followed.delete(nameOf(following));
    following.onEvent(event);
  }

  // Calls.

  /** @param {object} message @param {boolean} lasting @returns {Promise<any>} */
  _ask(message, lasting) {
    return new Promise((resolve, reject) => {
      const id = (this._lastId += 1);
      this._calls.set(id, { message, lasting, resolve, reject });
      if (this._isOpen) this._send(id, message);
    });
  }

  /** @param {number} id @param {object} message */
  _send(id, message) {
    this._connection?.send(JSON.stringify({ id, ...message }));
  }

  /** @param {any} message */
  _received(message) {
    this._schedule.revive();
    this._listen();
    if (message.type) {
      this._happened(message);
      return;
    }
    const call = this._calls.get(message.id);
    this._calls.delete(message.id);
    if (!message.error) {
      call?.resolve(message.ok);
      return;
    }
    const error = refusal(message.error);
    if (call?.lasting && error.status === 401) this._calls.set(message.id, call);
    else call?.reject(error);
    if (error.status === 401) this._giveUp(error);
  }

  // The connection.

  get _isOpen() {
    return this._connection?.readyState === WebSocket.OPEN;
  }

  _opened() {
    this._awayMs = SPREAD_MS;
    this._onState?.('streaming', {});
    const unanswered = [...this._calls];
    for (const following of this._followed.values()) this._follow(following);
    for (const [id, { message }] of unanswered) this._send(id, message);
    this._probe();
  }

  _listen() {
    this._wait(SILENCE_MS, () => this._probe());
  }

  /** A connection may be dead though nobody has said so: browsers do not tell scripts of pings. */
  _probe() {
    this._ask({ op: 'ping' }, false).catch(() => {});
    this._wait(ANSWER_MS, () => this._broke(0, 'The connection went silent.'));
  }

  _returned() {
    if (this._isOpen) this._probe();
    else if (!this._connection && this._timer) this._retry();
  }

  _retry() {
    this._schedule.revive();
    clearTimeout(this._timer);
    this.open();
  }

  /** @param {number} code 0: it was given up on this side. @param {string} reason */
  _broke(code, reason) {
    this._drop();
    const status = code > OWN_CODES ? code - OWN_CODES : 0;
    const error = new TidegateError(reason || 'The connection broke.', { status });
    if (FINAL.has(code)) {
      this._giveUp(error);
      return;
    }
    if (code === GOING_AWAY) this._schedule.askedMs = Math.random() * this._awayMs;
    const delay = this._schedule.broke();
    this._wait(delay, () => this.open());
    const state = this._schedule.offline ? 'offline' : 'reconnecting';
    this._onState?.(state, { delay, error, retry: () => this._retry() });
  }

  /** @param {TidegateError} error With other credentials it may go on, and what waits for an answer can wait. */
  _giveUp(error) {
    this._drop();
    if (error.status !== 401) {
      for (const { reject } of this._calls.values()) reject(error);
      this._calls.clear();
    }
    this._onState?.('ended', { error });
  }

  /** Lets go of the connection. One that is dead would take its time to say that it is closed. */
  _drop() {
    clearTimeout(this._timer);
    this._timer = undefined;
    const connection = this._connection;
    this._connection = null;
    if (connection) {
      connection.onopen = connection.onmessage = connection.onclose = null;
      connection.close();
    }
    for (const [id, { lasting }] of this._calls) if (!lasting) this._calls.delete(id);
  }

  /** @param {number} ms @param {() => void} then */
  _wait(ms, then) {
    clearTimeout(this._timer);
    this._timer = setTimeout(then, ms);
  }
}

/** @param {Following} following */
function nameOf({ kind, name }) {
  return `${kind} ${name}`;
}
