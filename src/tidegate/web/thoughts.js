/** What a model thought before it answered, folded, and the tools that it called, each on a line. */

import { inert } from './inert.js';
import { t } from './language.js';
import { make } from './nodes.js';
import { GrowingText } from './text.js';

/**
 * @typedef {import('./turn.js').Turn} Turn
 * @typedef {import('./turn.js').ToolCall} ToolCall
 */

const SHORT = 80;

export class Thoughts {
  constructor() {
    this._summary = make('summary', '');
    const words = make('div', 'words');
    this._text = new GrowingText(words);
    this.node = /** @type {HTMLDetailsElement} */ (make('details', 'thoughts', this._summary, words));
    this.node.hidden = true;
    /** @type {Turn | undefined} */
    this._turn = undefined;
    this.node.addEventListener('toggle', () => this._turn && this.show(this._turn));
  }

  /** @param {Turn} turn What is folded is not written. */
  show(turn) {
    this._turn = turn;
    this.node.hidden = !turn.reasoning;
    if (this.node.hidden) return;
    const said = summaryOf(turn);
    if (this._summary.textContent !== said) this._summary.textContent = said;
    if (this.node.open) this._text.show(inert(turn.reasoning));
  }
}

/** @param {Turn} turn */
function summaryOf({ status, firstAt, thoughtAt }) {
  if (status === 'live' && thoughtAt === null) return t('Thinking');
  if (firstAt === null || thoughtAt === null) return t('What it thought');
  return t('Thought for {seconds} s', { seconds: Math.max(1, Math.round((thoughtAt - firstAt) / 1000)) });
}

export class Calls {
  constructor() {
    this.node = make('div', 'calls');
    /** @type {{name: HTMLElement, short: HTMLElement, whole: HTMLElement, said: string}[]} */
    this._lines = [];
  }

  /** @param {ToolCall[]} calls */
  show(calls) {
    calls.forEach((call, at) => this._show(call, (this._lines[at] ??= this._add())));
  }

  _add() {
    const line = { name: make('code', 'name'), short: make('code', 'short'), whole: make('pre', ''), said: '' };
    const summary = make('summary', '', t('Called'), ' ', line.name, ' ', line.short);
    this.node.append(make('details', 'call', summary, line.whole));
    line.whole.tabIndex = 0;
    return line;
  }

  /** @param {ToolCall} call @param {Calls['_lines'][number]} line */
  _show(call, line) {
    const said = `${call.name}\n${call.arguments}`;
    if (line.said === said) return;
    line.said = said;
    line.name.textContent = inert(call.name);
    line.short.textContent = inert(call.arguments.replace(/\s+/g, ' ').slice(0, SHORT));
    line.whole.textContent = inert(pretty(call.arguments));
  }
}

/** @param {string} json As the model writes it: it may not be whole yet. */
function pretty(json) {
  try {
    return JSON.stringify(JSON.parse(json), null, 2);
  } catch {
    return json;
  }
}
