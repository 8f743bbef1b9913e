/**
 * Who is in a room: the server counts the connections, and the names are those that people have given themselves.
 *
 * @typedef {import('./talk.js').Talk} Talk
 */

import { shownName } from './entry.js';
import { t } from './language.js';
import { $, announce, base } from './page.js';
import { countOf } from './talk.js';
import { presence } from './tidegate.js';

/** Who leaves without a word is only found to be gone by asking. */
const LOOK_EVERY_MS = 15_000;

/** A connection that ends takes a moment to be counted out. */
const LOOK_AFTER_MS = 300;

/** Each look counts as a request of the page's user, and anybody in the room can bring one about. */
const LOOK_AGAIN_MS = 2000;

/** @type {Record<string, string>} */
const STATES = {
  connecting: t('Connecting'),
  reconnecting: t('Reconnecting'),
  offline: t('Waiting for the connection'),
};

export class Attendance {
  /** @param {string} topic @param {Talk} talk */
  constructor(topic, talk) {
    this._topic = topic;
    this._talk = talk;
    this._looking = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._timer = undefined;
    this._heard = '';
    this._lookedAt = 0;
    setInterval(() => this._look(), LOOK_EVERY_MS);
  }

  /** Somebody has come or gone, or may have. */
  lookSoon() {
    const wait = Math.max(LOOK_AFTER_MS, this._lookedAt + LOOK_AGAIN_MS - Date.now());
    this._timer ??= setTimeout(() => this._look(), wait);
  }

  /** @param {string} state Of the connection. */
  showConnection(state) {
    $('presence').classList.toggle('away', state !== 'streaming');
    if (state === 'streaming') this.lookSoon();
    else $('presence').textContent = STATES[state] ?? '';
  }

  async _look() {
    clearTimeout(this._timer);
    this._timer = undefined;
    if (this._looking || document.visibilityState !== 'visible') return;
    this._looking = true;
    this._lookedAt = Date.now();
    try {
      this._show(await presence(this._topic, { base }));
    } catch {
      // It is asked again soon.
    } finally {
      this._looking = false;
    }
  }

  /** @param {{principal: string, connections: number}[]} present */
  _show(present) {
    const names = this._talk.names(present, Date.now() / 1000).map(shownName).join(', ');
    const count = countOf(present);
    const text = names ? t('{count} here: {names}', { count, names }) : t('{count} here', { count });
    $('presence').textContent = $('presence').title = text;
    if (text !== this._heard) announce(text);
    this._heard = text;
  }
}
