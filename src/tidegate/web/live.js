/** An answer while it is followed: what its reader sees and hears of it, and of the connection that brings it. */

import { apply } from './conversation.js';
import { announce, keepAtEnd, sentence, showNotice } from './page.js';
import { TidegateError } from './tidegate.js';

/**
 * @typedef {import('./tidegate.js').StateDetail} StateDetail
 * @typedef {import('./tidegate.js').StreamEvent} StreamEvent
 */

/** @type {Record<string, string>} */
const WORDS = {
  connecting: 'Connecting',
  streaming: 'Answering',
  reconnecting: 'Reconnecting',
  offline: 'Waiting for the connection',
};

export class Live {
  /** @param {import('./view.js').TurnView} view */
  constructor(view) {
    this.view = view;
    this.turn = view.turn;
    this.state = 'idle';
    this.stopping = false;
    this._leaving = new AbortController();
    this._painting = false;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this._countdown = undefined;
  }

  /** Aborted once nobody looks at it any more. */
  get signal() {
    return this._leaving.signal;
  }

  /** Whether the server can be asked something about it now. */
  get reachable() {
    return this.state === 'streaming' || this.state === 'connecting';
  }

  leave() {
    clearInterval(this._countdown);
    this._leaving.abort();
  }

  /** @param {StreamEvent} event */
  take(event) {
    apply(this.turn, event);
    if (event.type === 'snapshot') this.view.takeAsHeard();
    if (this._painting) return;
    this._painting = true;
    requestAnimationFrame(() => {
      this._painting = false;
      if (!this.signal.aborted) this.paint();
    });
  }

  paint() {
    const spoken = this.view.showAnswer();
    if (spoken.length) announce(spoken.join('\n'));
    keepAtEnd();
  }

  showStopping() {
    this.stopping = true;
    this.view.showState(this.state, 'Stopping');
  }

  /** @param {string} state @param {StateDetail} detail */
  show(state, { delay = 0, error, retry }) {
    const before = this.state;
    this.state = state;
    clearInterval(this._countdown);
    const refusal = error instanceof TidegateError && error.status ? sentence(error.message) : '';
    if (state === 'ended') return;
    if (this.reachable) {
      this.view.showState(state, this.stopping ? 'Stopping' : WORDS[state]);
      showNotice('');
    } else {
      this.turn.unbroken = false;
      if (refusal) this._showCountdown(refusal, delay);
      else this.view.showState(state, WORDS[state]);
    }
    if (state === 'offline') {
      const why = refusal || 'The server cannot be reached.';
      showNotice(`${why} What has arrived is safe, and the rest follows by itself.`, 'Try again', retry);
    }
    if (state === before) return;
    if (state === 'reconnecting') announce(refusal || 'The connection broke. Reconnecting.');
    if (state === 'streaming' && before !== 'connecting') announce('Connected again.');
  }

  /** @param {string} text What it takes to go on. */
  waitFor(text) {
    clearInterval(this._countdown);
    this.state = 'offline';
    this.view.showState(this.state, text);
  }

  /** @param {string} why @param {number} delay In milliseconds. */
  _showCountdown(why, delay) {
    const until = Date.now() + delay;
    const tell = () => {
      const left = Math.ceil((until - Date.now()) / 1000);
      if (left > 0) this.view.showState(this.state, `${why} Trying again in ${left} s`);
      else clearInterval(this._countdown);
    };
    tell();
    this._countdown = setInterval(tell, 1000);
  }

  /** The turn has ended, and says how. */
  end() {
    clearInterval(this._countdown);
    this.state = 'idle';
    this.paint();
    this.view.showEnd();
    const text = this.view.endText();
    if (text) announce(text);
    showNotice('');
    keepAtEnd();
  }
}
