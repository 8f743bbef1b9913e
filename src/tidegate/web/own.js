/**
 * What this tab itself has said and asked: its own memory, also after a refresh.
 *
 * A message of the room is its sender's word. Whether it is this tab's own is never read from it: anybody may write
 * there what this tab would.
 */

import { place } from './page.js';
import { parsed, session } from './storage.js';

const KEY = `tidegate:${place}:own`;

/** Of each kind; a topic keeps no more messages by default. */
const MOST = 1000;

export class Own {
  constructor() {
    const { from, said, asked } = parsed(session.get(KEY)) ?? {};
    /** @type {string} Who the server took this tab for when it was last there. */
    this.from = typeof from === 'string' ? from : '';
    /** @type {Set<string>} The ids of its messages. */
    this._said = new Set(namesIn(said));
    /** @type {Set<string>} The streams that it has started. */
    this._asked = new Set(namesIn(asked));
    /** @type {Set<string>} Those of its messages that have been shown. */
    this._shown = new Set();
  }

  /** @param {string} from */
  arrive(from) {
    this.from = from;
    this._keep();
  }

  /** @param {string} id Of a message, before anybody else knows it. */
  say(id) {
    this._add(this._said, id);
  }

  /** @param {string} stream Before anybody else knows it. */
  ask(stream) {
    this._add(this._asked, stream);
  }

  /**
   * Whether the message is its own. Others may repeat the id once they have read it, so only the first one is.
   *
   * @param {{id: string, from: string}} message
   */
  shows({ id, from }) {
    if (!this._said.has(id) || this._shown.has(id) || (this.from && from !== this.from)) return false;
    this._shown.add(id);
    return true;
  }

  /** @param {string} stream */
  hasAsked(stream) {
    return this._asked.has(stream);
  }

  /** @param {Set<string>} names @param {string} name */
  _add(names, name) {
    names.add(name);
    for (const oldest of names) {
      if (names.size <= MOST) break;
      names.delete(oldest);
    }
    this._keep();
  }

  _keep() {
    session.set(KEY, JSON.stringify({ from: this.from, said: [...this._said], asked: [...this._asked] }));
  }
}

/** @param {unknown} kept Whatever may stand there. */
function namesIn(kept) {
  return Array.isArray(kept) ? kept.filter((name) => typeof name === 'string') : [];
}
