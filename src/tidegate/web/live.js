/** An answer while it is followed: what its reader sees and hears of it, and of the connection that brings it. */

import { explained } from './failures.js';
import { t } from './language.js';
import { announce, keepAtEnd } from './page.js';
import { Painter } from './painter.js';
import { phaseOf } from './phase.js';
import { TidegateError } from './tidegate.js';
import { Trace } from './trace.js';
import { apply, latestOf } from './turn.js';

/**
 * @typedef {import('./tidegate.js').StateDetail} StateDetail
 * @typedef {import('./tidegate.js').StreamEvent} StreamEvent
 */

const TICK_MS = 1000;
const PIECES = new Set(['delta', 'reasoning', 'tool_call']);

export class Live {
  /** @param {import('./view.js').TurnView} view */
  constructor(view) {
    this.view = view;
    this.turn = view.turn;
    this.trace = new Trace(Date.now(), this.turn.cursor);
    /** @type {'sse' | 'websocket'} */
    this.transport = 'sse';
    /** @type {import('./phase.js').Standing} */
    this.standing = {
      state: 'idle',
      stopping: false,
      waiting: '',
      refusal: '',
      again: 0,
      brokenAt: 0,
      place: null,
      ...doingOf(this.turn),
    };
    /** @type {Partial<StateDetail>} */
    this._detail = {};
    this._retry = () => {};
    /** @type {() => void} Called when how it stands may have changed. */
    this.onChange = () => {};
    this._leaving = new AbortController();
    this._painter = new Painter(() => {
      if (!this.signal.aborted && this.isShown) this.paint();
    });
    this._ticking = setInterval(() => this._tell(), TICK_MS);
  }

  /** Aborted once nobody looks at it any more. */
  get signal() {
    return this._leaving.signal;
  }

  get stopping() {
    return this.standing.stopping;
  }

  /** Whether the server can be asked something about it now. */
  get reachable() {
    return this.standing.state === 'streaming' || this.standing.state === 'connecting';
  }

  /** Whether it is neither followed nor about to be. */
  get halted() {
    return this.standing.state === 'idle';
  }

  /** Whether it is on the page. What is not is neither painted nor said. */
  get isShown() {
    return this.view.node.isConnected;
  }

  /** Nothing more of its stream is taken: its reader has stopped it here. */
  stop() {
    this.trace.stop(Date.now());
    this.leave();
  }

  leave() {
    clearInterval(this._ticking);
    this._leaving.abort();
  }

  /** @param {StreamEvent} event */
  take(event) {
    apply(this.turn, event);
    this.trace.take(event, Date.now());
    if (event.type === 'snapshot') this._takeSoFar();
    if (PIECES.has(event.type)) this._noteDoing(event);
    this._painter.ask();
  }

  paint() {
    const spoken = this.view.showAnswer();
    if (spoken.length) announce(spoken.join('\n'));
    keepAtEnd();
  }

  /** @param {boolean} stopping */
  showStopping(stopping) {
    this.standing.stopping = stopping;
    this._tell();
  }

  /** @param {number | null} place In the queue. */
  showPlace(place) {
    this.standing.place = place;
    this._tell();
  }

  /** @param {string} state @param {Partial<StateDetail>} detail */
  show(state, detail) {
    const before = this.standing.state;
    const now = Date.now();
    this._detail = detail;
    if (detail.retry) this._retry = detail.retry;
    this.trace.show(state, detail, now);
    const { error, delay = 0 } = detail;
    const refusal = error instanceof TidegateError && error.status ? explained(error) : '';
    const brokenAt = this.standing.brokenAt || now;
    Object.assign(this.standing, { state, waiting: '', refusal, again: now + delay, brokenAt });
    if (state === 'ended') return;
    if (this.reachable) this.standing.brokenAt = 0;
    else this.turn.unbroken = false;
    this._tell();
    if (state !== before && this.isShown) this._say(state, before, refusal);
  }

  /** @param {string} text What it takes to go on. */
  waitFor(text) {
    Object.assign(this.standing, { state: 'offline', waiting: text });
    this._tell();
  }

  /** @param {string} why It does not go on by itself. @param {import('./view.js').Action} action */
  halt(why, action) {
    this.standing.state = 'idle';
    this.view.showState('failed', why, action);
    if (this.isShown) announce(why);
  }

  /** Breaks its connection, which comes back by itself. */
  cut() {
    this.trace.cut();
    this._detail.cut?.();
  }

  /** The turn has ended, and says how. */
  end() {
    clearInterval(this._ticking);
    this.standing.state = 'idle';
    if (!this.isShown) {
      this.view.takeAsHeard();
      this.view.showEnd();
      return;
    }
    this.paint();
    this.view.showEnd();
    const text = this.view.endText();
    if (text) announce(text);
    keepAtEnd();
  }

  /** Nobody has to hear it again. */
  _takeSoFar() {
    Object.assign(this.standing, doingOf(this.turn));
    this._tell();
    this.view.takeAsHeard();
  }

  /** @param {StreamEvent} event */
  _noteDoing({ type, data }) {
    const { standing } = this;
    if (type === 'tool_call' && data.name) standing.tool = data.name;
    if (standing.doing === type && !standing.place) return;
    Object.assign(standing, { doing: type, place: null });
    this._tell();
  }

  _tell() {
    const { state } = this.standing;
    if (state === 'idle' || state === 'ended' || this.signal.aborted) return;
    const now = Date.now();
    const { words, retry } = phaseOf(this.standing, now);
    const action = retry ? { label: t('Try now'), run: this._retry } : undefined;
    this.view.showState(state, words, action, now - this.turn.startedAt);
    this.onChange();
    if (this.isShown) keepAtEnd();
  }

  /** @param {string} state @param {string} before @param {string} refusal */
  _say(state, before, refusal) {
    if (state === 'reconnecting') announce(refusal || t('The connection broke. Reconnecting.'));
    if (state === 'offline') announce(phaseOf(this.standing, Date.now()).words);
    if (state === 'streaming' && before !== 'connecting') announce(t('Connected again.'));
  }
}

/** @param {import('./turn.js').Turn} turn What the model does, by what has come of it. */
function doingOf(turn) {
  return { doing: latestOf(turn), tool: turn.calls.at(-1)?.name ?? '' };
}
