/**
 * The conversations that this browser keeps, for all of its tabs: each turn under a name of its own, so that an answer
 * that grows does not have the others written again.
 *
 * @typedef {import('./turn.js').Turn} Turn
 *
 * @typedef {object} Entry One conversation, without its turns.
 * @property {string} id
 * @property {string} title
 * @property {boolean} [isNamed] Whether its reader has chosen the title.
 * @property {number} at When something was asked last, in milliseconds.
 * @property {boolean} live Whether an answer is being written, as far as its tabs have said.
 * @property {Slot[]} slots
 *
 * @typedef {{turns: string[], shown: number}} Slot A question with its answer, in all versions: the keys of the turns.
 *
 * @typedef {{entry: Entry, items: [string, string][]}} Removed
 */

import { entryIn, turnIn } from './kept.js';

/** So many conversations are kept, of so many characters together: browsers give a page about five million. */
export const MOST = 50;
export const MOST_CHARACTERS = 4_000_000;

const HALF = MOST_CHARACTERS / 2;

/** What is live is not let go, unless its tabs have been silent about it for so long. */
const LIVE_MS = 86_400_000;

export class Shelf {
  /**
   * @param {import('./storage.js').Store} store
   * @param {string} place
   * @param {{onFull?: () => void, onRemoved?: (entries: Entry[]) => void}} [hooks] `onFull`: something could not be
   * kept. `onRemoved`: the oldest had to go.
   */
  constructor(store, place, { onFull = () => {}, onRemoved = () => {} } = {}) {
    this._store = store;
    this._entries = `tidegate:${place}:conversation:`;
    this._turns = `tidegate:${place}:turn:`;
    this._onFull = onFull;
    this._onRemoved = onRemoved;
  }

  /** @returns {Entry[]} The newest first. What is not one, whoever has put it there, is let go. */
  list() {
    const ids = this._store.names(this._entries).map((name) => name.slice(this._entries.length));
    const found = [];
    for (const id of ids) {
      const entry = this.read(id);
      if (entry) found.push(entry);
      else this.remove(id);
    }
    return found.sort((one, other) => other.at - one.at);
  }

  /** @param {string} id @returns {Entry | null} */
  read(id) {
    return entryIn(this._store.get(this._entries + id), id);
  }

  /** @param {string} id @param {string} key @returns {Turn | null} */
  readTurn(id, key) {
    return turnIn(this._store.get(this._turnName(id, key)), key);
  }

  /** @param {Entry} entry */
  keep(entry) {
    this._write(this._entries + entry.id, JSON.stringify(entry));
  }

  /** @param {Entry} entry @param {Turn} turn One that is new: it is there before another tab hears of it. */
  begin(entry, turn) {
    this._write(this._turnName(entry.id, turn.key), JSON.stringify(turn));
    this.keep(entry);
    this.trim(entry.id);
  }

  /**
   * Nothing is kept of what was removed meanwhile, and an end that another tab has seen stays one.
   *
   * @param {string} id
   * @param {Turn} turn
   */
  keepTurn(id, turn) {
    const before = this.readTurn(id, turn.key);
    if (!before || (turn.status === 'live' && before.status !== 'live')) return;
    this._write(this._turnName(id, turn.key), JSON.stringify(turn));
  }

  /** @param {string} id @param {string} key */
  dropTurn(id, key) {
    this._store.remove(this._turnName(id, key));
  }

  /** @param {string} id @param {string} title */
  rename(id, title) {
    const entry = this.read(id);
    if (entry) this.keep({ ...entry, title, isNamed: true });
  }

  /** @param {string} id @returns {Removed | null} What `restore` takes. */
  remove(id) {
    const entry = this.read(id);
    const names = this._store.names(`${this._turns}${id}:`);
    const items = names.map((name) => /** @type {[string, string]} */ ([name, this._store.get(name) ?? '']));
    for (const name of [this._entries + id, ...names]) this._store.remove(name);
    return entry && { entry, items };
  }

  /** @param {Removed} removed */
  restore({ entry, items }) {
    for (const [name, value] of items) this._write(name, value);
    this.keep(entry);
  }

  /**
   * What another tab has changed.
   *
   * @param {string | null} name Of the item, as a `storage` event brings it; null for all of them.
   * @returns {{id: string, key?: string} | null} The conversation, or a turn of it.
   */
  changed(name) {
    if (name?.startsWith(this._entries)) return { id: name.slice(this._entries.length) };
    if (!name?.startsWith(this._turns)) return null;
    const [id, key] = name.slice(this._turns.length).split(':');
    return { id, key };
  }

  /**
   * Lets the oldest go until the rest is within bounds. However long one conversation is, half of the room is the
   * others'.
   *
   * @param {string} keep This one stays, and so does what is live.
   */
  trim(keep) {
    const sizes = this._sizes();
    const sizeOf = (/** @type {string} */ id) => Math.min(sizes.get(id) ?? 0, id === keep ? HALF : MOST_CHARACTERS);
    const oldest = this.list().reverse();
    let count = oldest.length;
    let characters = oldest.reduce((sum, { id }) => sum + sizeOf(id), 0);
    const removed = [];
    for (const entry of oldest) {
      if (count <= MOST && characters <= MOST_CHARACTERS) break;
      const { id } = entry;
      const isLive = entry.live && Date.now() - entry.at < LIVE_MS;
      if (id === keep || isLive || (count <= MOST && !sizeOf(id))) continue;
      this.remove(id);
      removed.push(entry);
      count -= 1;
      characters -= sizeOf(id);
    }
    if (removed.length) this._onRemoved(removed);
  }

  /** @returns {Map<string, number>} The characters of each conversation's turns. */
  _sizes() {
    const sizes = new Map();
    for (const name of this._store.names(this._turns)) {
      const [id] = name.slice(this._turns.length).split(':');
      sizes.set(id, (sizes.get(id) ?? 0) + (this._store.get(name)?.length ?? 0));
    }
    return sizes;
  }

  /**
   * Nothing else goes where there is no room: what has filled the storage may be another's.
   *
   * @param {string} name
   * @param {string} value
   */
  _write(name, value) {
    if (!this._store.set(name, value)) this._onFull();
  }

  /** @param {string} id @param {string} key */
  _turnName(id, key) {
    return `${this._turns}${id}:${key}`;
  }
}
