/**
 * The conversations that this browser keeps, for all of its tabs: each turn under a name of its own, so that an answer
 * that grows does not have the others written again.
 *
 * @typedef {import('./turn.js').Turn} Turn
 *
 * @typedef {object} Entry One conversation, without its turns.
 * @property {string} id
 * @property {string} title
 * @property {number} at When something was asked last, in milliseconds.
 * @property {boolean} live Whether an answer is being written, as far as its tabs have said.
 * @property {Slot[]} slots
 *
 * @typedef {{turns: string[], shown: number}} Slot A question with its answer, in all versions: the keys of the turns.
 *
 * @typedef {{entry: Entry, turns: [string, string][]}} Removed
 */

/** So many conversations are kept, of so many characters together: browsers give a page about five million. */
export const MOST = 50;
export const MOST_CHARACTERS = 4_000_000;

export class Shelf {
  /** @param {Storage} storage @param {string} place @param {() => void} [onFull] Called where nothing can be kept. */
  constructor(storage, place, onFull = () => {}) {
    this._storage = storage;
    this._entries = `tidegate:${place}:conversation:`;
    this._turns = `tidegate:${place}:turn:`;
    this._drafts = `tidegate:${place}:draft:`;
    this._onFull = onFull;
  }

  /** @returns {Entry[]} The newest first. */
  list() {
    const found = this._names(this._entries).map((name) => this.read(name.slice(this._entries.length)));
    return found.filter((entry) => entry !== null).sort((one, other) => other.at - one.at);
  }

  /** @param {string} id @returns {Entry | null} */
  read(id) {
    return JSON.parse(this._storage.getItem(this._entries + id) ?? 'null');
  }

  /** @param {string} id @param {string} key @returns {Turn | null} */
  readTurn(id, key) {
    return JSON.parse(this._storage.getItem(this._turnName(id, key)) ?? 'null');
  }

  /** @param {Entry} entry */
  keep(entry) {
    this._write(entry.id, this._entries + entry.id, JSON.stringify(entry));
  }

  /** @param {Entry} entry @param {Turn} turn One that is new: it is there before another tab hears of it. */
  begin(entry, turn) {
    this._write(entry.id, this._turnName(entry.id, turn.key), JSON.stringify(turn));
    this.keep(entry);
    this.trim(entry.id);
  }

  /** @param {string} id @param {Turn} turn Nothing is kept of a conversation that was removed meanwhile. */
  keepTurn(id, turn) {
    if (this._storage.getItem(this._entries + id) === null) return;
    this._write(id, this._turnName(id, turn.key), JSON.stringify(turn));
  }

  /** @param {string} id @param {string} key */
  dropTurn(id, key) {
    this._storage.removeItem(this._turnName(id, key));
  }

  /** @param {string} id @returns {Removed | null} What `restore` takes. */
  remove(id) {
    const entry = this.read(id);
    const names = this._names(`${this._turns}${id}:`);
    const turns = names.map((name) => /** @type {[string, string]} */ ([name, this._storage.getItem(name) ?? '']));
    for (const name of [this._entries + id, this._drafts + id, ...names]) this._storage.removeItem(name);
    return entry && { entry, turns };
  }

  /** @param {Removed} removed */
  restore({ entry, turns }) {
    for (const [name, value] of turns) this._write(entry.id, name, value);
    this.keep(entry);
  }

  clear() {
    for (const prefix of [this._entries, this._turns, this._drafts]) {
      for (const name of this._names(prefix)) this._storage.removeItem(name);
    }
  }

  /** @param {string} id Of the conversation; empty for the one that has not begun. */
  draft(id) {
    return this._storage.getItem(this._drafts + id) ?? '';
  }

  /** @param {string} id @param {string} text */
  keepDraft(id, text) {
    if (text) this._write(id, this._drafts + id, text);
    else this._storage.removeItem(this._drafts + id);
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

  /** Lets the oldest go until the rest is within bounds. @param {string} keep This one stays. */
  trim(keep) {
    const oldest = this.list().reverse();
    const sizes = this._sizes();
    let count = oldest.length;
    let characters = [...sizes.values()].reduce((sum, size) => sum + size, 0);
    for (const { id } of oldest) {
      if (count <= MOST && characters <= MOST_CHARACTERS) return;
      if (id === keep) continue;
      this.remove(id);
      count -= 1;
      characters -= sizes.get(id) ?? 0;
    }
  }

  /** @returns {Map<string, number>} The characters of each conversation's turns. */
  _sizes() {
    const sizes = new Map();
    for (const name of this._names(this._turns)) {
      const [id] = name.slice(this._turns.length).split(':');
      sizes.set(id, (sizes.get(id) ?? 0) + (this._storage.getItem(name)?.length ?? 0));
    }
    return sizes;
  }

  /** @param {string} id @param {string} name @param {string} value Where there is no room, the oldest go. */
  _write(id, name, value) {
    for (;;) {
      try {
        this._storage.setItem(name, value);
        return;
      } catch {
        const oldest = this.list().findLast((entry) => entry.id !== id);
        if (!oldest) {
          this._onFull();
          return;
        }
        this.remove(oldest.id);
      }
    }
  }

  /** @param {string} id @param {string} key */
  _turnName(id, key) {
    return `${this._turns}${id}:${key}`;
  }

  /** @param {string} prefix */
  _names(prefix) {
    const names = Array.from({ length: this._storage.length }, (_, at) => this._storage.key(at) ?? '');
    return names.filter((name) => name.startsWith(prefix));
  }
}
