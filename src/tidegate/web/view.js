/**
 * One turn on the page: the question, the answer as it grows, and a line that says how it stands.
 *
 * @typedef {import('./conversation.js').Turn} Turn
 */

import { Markdown } from './markdown.js';

export class TurnView {
  /** @param {Turn} turn @param {{onRetry?: () => void, onShare?: () => void}} [actions] What its reader may do. */
  constructor(turn, { onRetry, onShare } = {}) {
    this.turn = turn;
    this._onRetry = onRetry;
    this._answer = make('div', 'answer');
    this._status = make('p', 'status');
    this._share = onShare && button('Share', onShare, 'share');
    const question = make('div', 'question', make('span', 'visually-hidden', 'You: '), turn.question);
    const foot = make('div', 'foot', this._status, make('span', 'wave'), ...(this._share ? [this._share] : []));
    this.node = make('article', 'turn', ...(turn.question ? [question] : []), this._answer, foot);
    this.offerShare();
    this._markdown = new Markdown(this._answer);
    this._heard = 0;
    this.takeAsHeard();
    if (turn.status !== 'live') this.showEnd();
  }

  /**
   * Brings the answer up to its text.
   *
   * @returns {string[]} The text of blocks that are complete since the last call, for those who listen.
   */
  showAnswer() {
    this._markdown.show(this.turn.text);
    const complete = this.turn.status === 'live' ? this._markdown.closed : this._markdown.count;
    const heard = [];
    for (; this._heard < complete; this._heard += 1) heard.push(this._markdown.textOf(this._heard));
    return heard;
  }

  /** Only what the server knows can be shared. */
  offerShare() {
    if (this._share) this._share.hidden = !this.turn.id || this.turn.status === 'lost';
  }

  /** What there is has been there before: nobody has to hear it again. */
  takeAsHeard() {
    this.showAnswer();
    this._heard = this._markdown.count;
  }

  /** @param {string} state @param {string} text @param {{label: string, run: () => void}} [action] */
  showState(state, text, action) {
    this._status.dataset.state = state;
    this._status.replaceChildren(make('span', '', text));
    if (action) this._status.append(button(action.label, action.run));
  }

  showEnd() {
    const { status } = this.turn;
    delete this._status.dataset.state;
    if (status === 'failed' || status === 'lost') this._status.dataset.state = 'failed';
    const text = this.endText();
    this._status.replaceChildren(...(text ? [make('span', '', text)] : []));
    const counts = measured(this.turn);
    if (counts) this._status.append(counts);
    if (this._onRetry && (status === 'failed' || status === 'lost')) this._status.append(button('Retry', this._onRetry));
    this.offerShare();
  }

  /** How it ended, in a word or a sentence; nothing where there is nothing to say. */
  endText() {
    const { status, error, reason, text } = this.turn;
    if (status === 'failed') return `Failed: ${error}`;
    if (status === 'lost') return text ? `${error} This is what had arrived.` : error;
    if (status === 'cancelled') return reason || 'Stopped';
    return reason || (text ? '' : 'The answer is empty');
  }
}

/** @param {Turn} turn */
function measured({ usage, seconds }) {
  const parts = [];
  if (usage?.completion_tokens) {
    const { completion_tokens: tokens, estimated } = usage;
    parts.push(`${estimated ? 'about ' : ''}${tokens} ${tokens === 1 ? 'token' : 'tokens'}`);
  }
  if (seconds !== null) parts.push(`${seconds.toFixed(seconds < 100 ? 1 : 0)} s`);
  return parts.join(' · ');
}

/** @param {string} label @param {() => void} run @param {string} [className] */
export function button(label, run, className = 'plain') {
  const node = make('button', className, label);
  node.setAttribute('type', 'button');
  node.addEventListener('click', run);
  return node;
}

/** @param {string} name @param {string} className @param {(string | Node)[]} children */
export function make(name, className, ...children) {
  const node = document.createElement(name);
  node.className = className;
  node.append(...children);
  return node;
}
