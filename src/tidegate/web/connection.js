/** How the connection of a page stands, said at its foot for as long as it is broken. */

import { explained } from './failures.js';
import { t } from './language.js';
import { announce, showNotice } from './page.js';
import { phaseOf } from './phase.js';
import { TidegateError } from './tidegate.js';

/** @typedef {import('./tidegate.js').StateDetail} StateDetail */

/** The client waits up to half more, at random: a visible page finds a network that is back within 3 s. */
export const MAX_DELAY_MS = 2000;

const TICK_MS = 1000;

export class Connection {
  constructor() {
    this._state = 'connecting';
    this._brokenAt = 0;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this._ticking = undefined;
  }

  /** @param {string} state @param {StateDetail} detail */
  show(state, detail) {
    const before = this._state;
    this._state = state;
    clearInterval(this._ticking);
    if (state !== 'reconnecting' && state !== 'offline') {
      if (this._brokenAt) this._mended();
      return;
    }
    const now = Date.now();
    this._brokenAt ||= now;
    const tell = this._teller(now + (detail.delay ?? 0), detail);
    tell();
    this._ticking = setInterval(tell, TICK_MS);
    if (state !== before) announce(t('The connection broke. Reconnecting.'));
  }

  _mended() {
    this._brokenAt = 0;
    showNotice('');
    announce(t('Connected again.'));
  }

  /** @param {number} again When the next try is due. @param {StateDetail} detail */
  _teller(again, { error, retry }) {
    const refusal = error instanceof TidegateError && error.status ? explained(error) : '';
    const about = { state: this._state, refusal, again, brokenAt: this._brokenAt };
    const standing = { ...about, stopping: false, waiting: '', place: null, doing: '', tool: '' };
    return () => {
      const { words, retry: offered } = phaseOf(standing, Date.now());
      if (offered) showNotice(words, t('Try now'), retry);
    };
  }
}
