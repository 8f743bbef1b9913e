/**
 * One turn on the page: the question, what the model thought and called, the answer as it grows, and a line that says
 * how it stands, with what its reader may do.
 *
 * @typedef {import('./turn.js').Turn} Turn
 * @typedef {import('./acts.js').Doings} Doings
 * @typedef {import('./acts.js').Position} Position
 * @typedef {{label: string, run: () => void}} Action
 */

import { Acts } from './acts.js';
import { Asked } from './asked.js';
import { endOf, measured } from './ending.js';
import { technical } from './failures.js';
import { t } from './language.js';
import { Markdown } from './markdown.js';
import { button, make } from './nodes.js';
import { withFocusKept } from './page.js';
import { Calls, Thoughts } from './thoughts.js';

export { button, make };

export class TurnView {
  /** @param {Turn} turn @param {Doings} [on] What its reader may do, besides copying. */
  constructor(turn, on = {}) {
    this.turn = turn;
    this._asked = new Asked(turn.question, on.edit);
    this._thoughts = new Thoughts();
    this._calls = new Calls();
    this._answer = make('div', 'answer');
    this._acts = new Acts(turn, on);
    this._status = new StatusLine();
    this._technical = make('code', '');
    this._details = make('details', 'technical', make('summary', '', t('Details')), this._technical);
    const foot = make('div', 'foot', this._acts.node, this._status.node, make('span', 'wave'));
    const parts = [this._thoughts.node, this._calls.node, this._answer, foot, this._details];
    this.node = make('article', 'turn', ...(turn.question ? [this._asked.node] : []), ...parts);
    /** @type {Position} */
    this._position = { last: false, count: 1, shown: 0 };
    this._markdown = new Markdown(this._answer);
    this._heard = 0;
    this.takeAsHeard();
    this._details.hidden = true;
    if (turn.status !== 'live') this.showEnd();
  }

  /** @param {Position} position Which turn it is, which decides on what may be done with it. */
  place(position) {
    this._position = position;
    this._offer();
  }

  /**
   * Brings the answer up to its text.
   *
   * @returns {string[]} The text of blocks that are complete since the last call, for those who listen.
   */
  showAnswer() {
    this._thoughts.show(this.turn);
    this._calls.show(this.turn.calls);
    this._markdown.show(this.turn.text);
    const complete = this.turn.status === 'live' ? this._markdown.closed : this._markdown.count;
    const heard = [];
    for (; this._heard < complete; this._heard += 1) heard.push(this._markdown.textOf(this._heard));
    return heard;
  }

  /** What there is has been there before: nobody has to hear it again. */
  takeAsHeard() {
    this.showAnswer();
    this._heard = this._markdown.count;
  }

  /**
   * @param {string} state
   * @param {string} text
   * @param {Action} [action]
   * @param {number} [elapsedMs] How long it has been going on.
   */
  showState(state, text, action, elapsedMs = 0) {
    const seconds = Math.floor(elapsedMs / 1000);
    this._status.show(state, text, seconds ? t('{seconds} s', { seconds }) : '', action);
    this._details.hidden = true;
    this._offer();
  }

  showEnd() {
    const { status, error, code, requestId } = this.turn;
    const failed = status === 'failed' || status === 'lost';
    this._status.show(failed ? 'failed' : '', this.endText(), measured(this.turn));
    this._details.hidden = !failed || !error;
    write(this._technical, technical({ code, message: error, requestId }));
    this._offer();
  }

  /** How it ended, in a word or a sentence; nothing where there is nothing to say. */
  endText() {
    return endOf(this.turn);
  }

  _offer() {
    this._acts.show(this._position);
    this._asked.offerEdit(this._position.last && this.turn.status !== 'live');
  }
}

/** How the answer stands, or how it ended, with its clock and one thing that can be done about it. */
class StatusLine {
  constructor() {
    this._words = make('span', 'said');
    this._figures = make('span', 'figures');
    /** @type {Action | undefined} */
    this._action = undefined;
    this._button = button('', () => this._action?.run());
    this._button.hidden = true;
    this.node = make('p', 'status', this._words, this._figures, this._button);
  }

  /** @param {string} state @param {string} words @param {string} figures @param {Action} [action] */
  show(state, words, figures, action) {
    if (state) this.node.dataset.state = state;
    else delete this.node.dataset.state;
    write(this._words, words);
    write(this._figures, figures);
    this._action = action;
    if (action) write(this._button, action.label);
    if (this._button.hidden === !action) return;
    withFocusKept(() => {
      this._button.hidden = !action;
    });
  }
}

/** Setting what is so already would have the browser look at it again. @param {Element} node @param {string} text */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
