/**
 * One entry of a room on the page: somebody's words, or an answer of the model.
 *
 * @typedef {import('./talk.js').Said} Said
 * @typedef {import('./talk.js').Answer} Answer
 */

import { inert } from './inert.js';
import { date, t } from './language.js';
import { button, make } from './nodes.js';
import { withFocusKept } from './page.js';
import { TurnView } from './view.js';

/** So soon after each other, in seconds, the messages of one person stand under one line. */
const TOGETHER_SECONDS = 300;

/** @param {Said} said @param {boolean} own @param {Said | Answer | undefined} before What stands above it. */
export function saidView(said, own, before) {
  const { name, from, text, to, at, member } = said;
  // Under somebody's line stands only what has the same sender, for the server, too.
  const isSame = before?.kind === 'text' && before.member === member && before.from === from && before.name === name;
  const goesOn = isSame && at - before.at < TOGETHER_SECONDS;
  const node = make('li', `entry said${own ? ' own' : ''}${goesOn ? ' goes-on' : ''}`);
  node.append(byline(own ? t('You') : shownName(name), from, at), words(text, to));
  return node;
}

/** An own message on its way. */
export class Outgoing {
  /** @param {string} text @param {string} to */
  constructor(text, to) {
    this._status = make('p', 'status', t('Sending'));
    this.node = make('li', 'entry said own outgoing', words(text, to), this._status);
  }

  /** @param {string} why @param {() => void} again */
  showFailure(why, again) {
    this._status.dataset.state = 'failed';
    const retry = button(t('Try again'), () => {
      delete this._status.dataset.state;
      this._status.replaceChildren(t('Sending'));
      again();
    });
    this._status.replaceChildren(make('span', '', t('Not sent: {why}', { why })), retry);
  }
}

export class AnswerView {
  /** @param {Answer} answer @param {(() => void) | undefined} onStop Of whoever has asked. */
  constructor(answer, onStop) {
    this.view = new TurnView(answer.turn);
    this._stop = onStop && button(t('Stop'), onStop);
    const asked = onStop ? t('asked by you') : t('asked by {name}', { name: shownName(answer.name) });
    const head = byline(answer.model, answer.from, answer.at, asked);
    if (this._stop) head.append(this._stop);
    this.node = make('li', 'entry answered', head, this.view.node);
    this.showEnd();
  }

  /** An answer that has ended cannot be stopped. */
  showEnd() {
    if (this.view.turn.status === 'live') return;
    withFocusKept(() => this._stop?.remove());
    this.view.showEnd();
  }
}

/** @param {string} name What somebody calls themselves. */
export function shownName(name) {
  return name || t('Somebody');
}

/** @param {string} text @param {string} to The model that is asked; empty for none. */
function words(text, to) {
  const isNamed = text.includes(`@${to}`);
  return make('p', 'speech', ...(to && !isNamed ? [make('span', 'to', `@${to}`), ' '] : []), inert(text));
}

/** @param {string} name @param {string} from @param {number} at @param {string} [more] */
function byline(name, from, at, more) {
  const time = make('time', '', shortly(at));
  time.setAttribute('datetime', new Date(at * 1000).toISOString());
  const line = make('p', 'byline', make('strong', '', name), ...(more ? [make('span', '', more)] : []), time);
  // A name is what its bearer chose; this is who the server knows.
  if (from !== 'anonymous') line.title = from;
  return line;
}

/** @param {number} at In Unix seconds. */
function shortly(at) {
  const today = new Date(at * 1000).toDateString() === new Date().toDateString();
  const hour = /** @type {const} */ ({ hour: '2-digit', minute: '2-digit' });
  return date(at, today ? hour : { day: 'numeric', month: 'short', ...hour });
}
