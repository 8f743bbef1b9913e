/**
 * What a stream went through on its way here: when it was connected, cut and resumed, and what came when. Pure.
 *
 * @typedef {import('./tidegate.js').StreamEvent} StreamEvent
 *
 * @typedef {'asked' | 'picked-up' | 'connected' | 'cut' | 'broke' | 'again' | 'failed' | 'offline' | 'resumed'
 *   | 'first' | 'gap' | 'completed' | 'cancelled'} Kind
 *
 * @typedef {{at: number, kind: Kind, seconds?: number, cursor?: string, characters?: number}} Line `at` is in
 * milliseconds since the trace began.
 *
 * @typedef {{from: number, to: number | null}} Break
 *
 * @typedef {{events: number, duplicates: number, gaps: number, reconnects: number}} Counts
 */

/** The picture has at most so many columns: when they are used up, each takes twice the time. */
const MOST_COLUMNS = 96;
const FIRST_COLUMN_MS = 100;

const AT_ONCE_MS = 200;

/** A stream that breaks all day keeps its newest lines. */
const MOST_LINES = 100;

/** @type {Record<string, Kind>} */
const ENDS = { completed: 'completed', cancelled: 'cancelled', failed: 'failed' };

export class Trace {
  /** @param {number} now @param {string} [cursor] Where it is picked up. */
  constructor(now, cursor = '') {
    /** @type {number} */
    this._startedAt = now;
    /** @type {Line[]} */
    this.lines = [];
    /** @type {Break[]} */
    this.breaks = [];
    /** @type {number[]} Characters that came, by columns of time. */
    this.columns = [];
    this.columnMs = FIRST_COLUMN_MS;
    /** @type {Counts} */
    this.counts = { events: 0, duplicates: 0, gaps: 0, reconnects: 0 };
    this.cursor = cursor;
    this.characters = 0;
    /** @type {number | null} */
    this.firstMs = null;
    this.lastMs = 0;
    this.ended = false;
    this._byReader = false;
    /** @type {Line | null} Of the connection that has just come back. */
    this._resumed = null;
    this._note(now, { kind: cursor ? 'picked-up' : 'asked', cursor });
  }

  /** The reader is about to break the connection, to see it come back. */
  cut() {
    this._byReader = true;
  }

  /** @param {StreamEvent} event @param {number} now */
  take({ type, data, cursor }, now) {
    this.cursor = cursor;
    const text = data.text ?? data.arguments ?? '';
    if (type === 'gap') this._note(now, { kind: 'gap' });
    if (this._resumed) this._countMissed(this._resumed, text.length, now - this._startedAt);
    if (text && type !== 'snapshot') this._count(text.length, now);
    if (Object.hasOwn(ENDS, type)) this._end(ENDS[type], now);
  }

  /** @param {string} state @param {{counts?: Counts, delay?: number}} detail @param {number} now */
  show(state, { counts, delay = 0 }, now) {
    if (counts) this.counts = counts;
    if (state === 'streaming') this._connected(now);
    else if (state === 'reconnecting') this._broke(delay, now);
    else if (state === 'offline') this._note(now, { kind: 'offline' });
  }

  /** The reader has stopped it, and the server could not be asked. @param {number} now */
  stop(now) {
    this._end('cancelled', now);
  }

  /** How long it has been going on, in milliseconds. @param {number} now */
  elapsed(now) {
    return (this.ended ? this.lastMs : now - this._startedAt) || 1;
  }

  /** @param {number} now */
  _connected(now) {
    const broken = this.breaks.at(-1);
    if (broken && broken.to === null) {
      broken.to = now - this._startedAt;
      this._resumed = this._note(now, { kind: 'resumed', cursor: this.cursor, characters: 0 });
    } else {
      this._note(now, { kind: 'connected' });
    }
  }

  /** @param {number} delay @param {number} now */
  _broke(delay, now) {
    const at = now - this._startedAt;
    if (this.breaks.at(-1)?.to !== null) {
      this.breaks.push({ from: at, to: null });
      this._note(now, { kind: this._byReader ? 'cut' : 'broke', cursor: this.cursor });
      this._byReader = false;
    }
    if (delay) this._note(now, { kind: 'again', seconds: delay / 1000 });
  }

  /**
   * What comes at once, after a break, had come meanwhile.
   *
   * @param {Line} line
   * @param {number} characters
   * @param {number} at
   */
  _countMissed(line, characters, at) {
    if (at - line.at < AT_ONCE_MS) line.characters = (line.characters ?? 0) + characters;
    else this._resumed = null;
  }

  /** @param {Kind} kind @param {number} now */
  _end(kind, now) {
    this.ended = true;
    this.lastMs = now - this._startedAt;
    this._note(now, { kind, cursor: this.cursor });
  }

  /** @param {number} characters @param {number} now */
  _count(characters, now) {
    const at = now - this._startedAt;
    this.characters += characters;
    this.lastMs = at;
    if (this.firstMs === null) {
      this.firstMs = at;
      this._note(now, { kind: 'first', seconds: at / 1000 });
    }
    while (at / this.columnMs >= MOST_COLUMNS) this._widen();
    const column = Math.floor(at / this.columnMs);
    while (this.columns.length <= column) this.columns.push(0);
    this.columns[column] += characters;
  }

  _widen() {
    const half = Math.ceil(this.columns.length / 2);
    this.columns = Array.from({ length: half }, (_, at) => this.columns[2 * at] + (this.columns[2 * at + 1] ?? 0));
    this.columnMs *= 2;
  }

  /** @param {number} now @param {Omit<Line, 'at'>} about */
  _note(now, about) {
    /** @type {Line} */
    const line = { at: now - this._startedAt, ...about };
    this.lines.push(line);
    if (this.lines.length > MOST_LINES) this.lines.shift();
    return line;
  }
}
