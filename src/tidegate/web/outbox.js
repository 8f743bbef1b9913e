/** Own messages on their way into the room: shown at once, and sent until they are there. */

import { Outgoing } from './entry.js';
import { explained } from './failures.js';
import { askForKey, keyNumber, wantsKey } from './key.js';
import { t } from './language.js';
import { $, announce, keepAtEnd } from './page.js';
import { newKey } from './tidegate.js';

/** @typedef {{kind: 'text', id: string, text: string, to: string}} Message */

export class Outbox {
  /** @param {(message: Message, key: string) => Promise<unknown>} tell @param {import('./own.js').Own} own */
  constructor(tell, own) {
    this._tell = tell;
    this._own = own;
    /** @type {Map<string, Outgoing>} By the ids of their messages. */
    this._going = new Map();
    /** Until the last one is there: the next goes out behind it. */
    this._before = Promise.resolve();
  }

  /** @param {string} text @param {string} to The model that is asked; empty for none. */
  add(text, to) {
    const id = newKey();
    const outgoing = new Outgoing(text, to);
    this._own.say(id);
    this._going.set(id, outgoing);
    $('outbox').append(outgoing.node);
    this._before = this._before.then(() => this._send({ kind: 'text', id, text, to }, outgoing));
  }

  /**
   * A message has arrived.
   *
   * @param {string} id
   * @returns {boolean} Whether it was on its way from this page.
   */
  arrived(id) {
    const outgoing = this._going.get(id);
    outgoing?.node.remove();
    return this._going.delete(id);
  }

  /** @param {Message} message @param {Outgoing} outgoing */
  async _send(message, outgoing) {
    const sentKey = keyNumber();
    const again = () => this._send(message, outgoing);
    try {
      await this._tell(message, message.id);
    } catch (error) {
      if (wantsKey(error)) askForKey(sentKey, again);
      else showFailure(outgoing, explained(/** @type {Error} */ (error)), again);
    }
  }
}

/** @param {Outgoing} outgoing @param {string} why @param {() => void} again */
function showFailure(outgoing, why, again) {
  outgoing.showFailure(why, again);
  announce(t('Not sent: {why}', { why }));
  keepAtEnd();
}
