/**
 * One reader's place in one stream: what to do on each event and on each failure.
 *
 * @typedef {object} StreamEvent
 * @property {string} type `started`, `delta`, `completed`, …: the table of section 4 of the API.
 * @property {any} data What the event carries, parsed.
 * @property {string} cursor The position after it; hand it to `followStream` as `after` to go on from there.
 */

/** The waits after the first failures in a row; after one more the reader is offline, and tries slowly. */
const SCHEDULE_MS = [1000, 2000, 4000, 8000];
const OFFLINE_MS = 30_000;

/** A server restarts under all of its readers at once: up to half a delay more, at random, spreads them. */
const JITTER = 0.5;
const MAX_FLOOR_MS = 300_000;

/** After one of these a stream has no more events. */
export const TERMINAL = new Set(['completed', 'cancelled', 'failed']);

/** Pure: no connection, no clock; randomness is handed in. */
export class Session {
  /** @param {{after?: string, whole?: boolean, random?: () => number}} [options] */
  constructor({ after = '', whole = false, random = Math.random } = {}) {
    this.cursor = after;
    /** @type {StreamEvent | null} */
    this.end = null;
    this.failures = 0;
    /** @type {number | null} How long the server wants this reader to stay away. */
    this.askedMs = null;
    this._floorMs = 0;
    this._whole = whole;
    this._random = random;
  }

  /**
   * What to ask the server for: the rest after the cursor, or, where that is wanted or the place is gone, the whole.
   *
   * @returns {Record<string, string>}
   */
  query() {
    if (this._whole) return { snapshot: '1' };
    return this.cursor ? { after: this.cursor } : {};
  }

  /** Whether this connection has nothing more to give. */
  get done() {
    return this.end !== null || this.askedMs !== null;
  }

  get offline() {
    return this.failures > SCHEDULE_MS.length;
  }

  /**
   * Takes one event and returns what the application should see of it, if anything.
   *
   * A `gap` says that what was asked for is not kept. A generation can be had as a whole, so instead of text with
   * a hole the application gets a `snapshot`, which replaces what it has.
   *
   * @param {{event: string, data: string, id: string}} message
   * @returns {StreamEvent | null}
   */
  received({ event: type, data: json, id }) {
    const data = JSON.parse(json);
    this.failures = 0;
    if (type === 'reconnect') {
      this.askedMs = data.after_ms ?? 0;
      return null;
    }
    if (type === 'gap' && !this._whole) {
      this._whole = true;
      this.askedMs = 0;
      return null;
    }
    if (id) {
      this.cursor = id;
      this._whole = false;
    }
    const event = { type, data, cursor: this.cursor };
    if (TERMINAL.has(type)) this.end = event;
    return event;
  }

  /** @param {number} ms What `retry:` asked for. */
  atLeast(ms) {
    this._floorMs = Math.min(ms, MAX_FLOOR_MS);
  }

  /** Counts a connection that failed or broke and says, in milliseconds, how long to wait before the next. */
  broke(retryAfterMs = 0) {
    if (this.askedMs !== null) {
      const asked = this.askedMs;
      this.askedMs = null;
      return asked;
    }
    const delay = SCHEDULE_MS[this.failures] ?? OFFLINE_MS;
    this.failures += 1;
    return Math.max(delay, this._floorMs, Math.min(retryAfterMs, MAX_FLOOR_MS)) * (1 + JITTER * this._random());
  }

  /** Begins to count anew: something says that the network is back. */
  revive() {
    this.failures = 0;
  }
}
