/**
 * What a page keeps in the browser. Where the browser is full, or lets nothing be kept, the page goes on with what it
 * has in memory, for as long as it is there. Nothing here throws.
 */

export class Store {
  /** @param {() => Storage} open It throws where a page may keep nothing. */
  constructor(open) {
    /** @type {Map<string, string>} What could not be kept; it goes before what is. */
    this._memory = new Map();
    try {
      this._storage = open();
      this._storage.getItem('');
    } catch {
      this._storage = undefined;
    }
  }

  /** @param {string} name @returns {string | null} */
  get(name) {
    return this._memory.get(name) ?? this._storage?.getItem(name) ?? null;
  }

  /** @param {string} name @param {string} value @returns {boolean} Whether it is there after a refresh. */
  set(name, value) {
    try {
      if (!this._storage) throw new Error('There is none.');
      this._storage.setItem(name, value);
      this._memory.delete(name);
      return true;
    } catch {
      this._memory.set(name, value);
      return false;
    }
  }

  /** @param {string} name */
  remove(name) {
    this._memory.delete(name);
    this._storage?.removeItem(name);
  }

  /** @param {string} prefix @returns {string[]} */
  names(prefix) {
    const storage = this._storage;
    const kept = Array.from({ length: storage?.length ?? 0 }, (_, at) => storage?.key(at) ?? '');
    return [...new Set([...kept, ...this._memory.keys()])].filter((name) => name.startsWith(prefix));
  }

  /** @param {string | null} name What another tab has written is newer than what could not be. */
  changed(name) {
    if (name === null) this._memory.clear();
    else this._memory.delete(name);
  }
}

/** For all tabs. */
export const local = new Store(() => globalThis.localStorage);

/** For this tab, also after a refresh. */
export const session = new Store(() => globalThis.sessionStorage);

/**
 * What was kept as JSON: another version may have written it, or anybody.
 *
 * @param {string | null} text
 * @returns {any} Null where it is none.
 */
export function parsed(text) {
  try {
    return JSON.parse(text ?? 'null');
  } catch {
    return null;
  }
}

globalThis.addEventListener?.('storage', ({ key }) => local.changed(key));
