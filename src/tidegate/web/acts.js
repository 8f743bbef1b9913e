/** What the reader of an answer may do with it: buttons under it, of which those are shown that make sense now. */

import { copyText } from './clipboard.js';
import { t } from './language.js';
import { button, icon, iconButton, make } from './nodes.js';
import { announce, showNotice, withFocusKept } from './page.js';

/**
 * @typedef {import('./turn.js').Turn} Turn
 *
 * @typedef {object} Doings Those that are missing are not offered.
 * @property {() => void} [again] Asks for another version.
 * @property {() => void} [goOn] Has the answer go on where it was cut.
 * @property {() => void} [share]
 * @property {(shown: number) => void} [showVersion]
 * @property {(question: string) => void} [edit]
 *
 * @typedef {{last: boolean, count: number, shown: number}} Position Whether it is the conversation's last turn, and
 * which of how many versions.
 */

const COPIED_MS = 2000;

export class Acts {
  /** @param {Turn} turn @param {Doings} on */
  constructor(turn, { again, goOn, share, showVersion }) {
    this._turn = turn;
    this._versions = new Versions(showVersion);
    this._offers = [
      { node: this._versions.node, when: hasVersions },
      { node: copyButton(() => turn.text), when: canCopy },
      again && { node: iconButton('again', t('Ask again'), again), when: canRegenerate },
      share && { node: iconButton('share', t('Share'), share), when: canShare },
      goOn && { node: button(t('Continue'), goOn, 'small'), when: canGoOn },
      again && { node: button(t('Retry'), again, 'small'), when: canRetry },
    ].filter((offer) => offer !== undefined);
    this.node = make('div', 'acts', ...this._offers.map(({ node }) => node));
    this.show({ last: false, count: 1, shown: 0 });
  }

  /** @param {Position} position */
  show(position) {
    withFocusKept(() => {
      for (const { node, when } of this._offers) node.hidden = !when(this._turn, position);
    });
    this._versions.show(position);
  }
}

/** Which of several answers to one question is shown, with the way to the others. */
class Versions {
  /** @param {((shown: number) => void) | undefined} show */
  constructor(show = () => {}) {
    this._shown = 0;
    this._before = iconButton('before', t('The version before'), () => show(this._shown - 1));
    this._after = iconButton('after', t('The version after'), () => show(this._shown + 1));
    this._count = make('span', '');
    this.node = make('span', 'versions', this._before, this._count, this._after);
  }

  /** @param {Position} position */
  show({ count, shown }) {
    this._shown = shown;
    this._before.disabled = shown === 0;
    this._after.disabled = shown === count - 1;
    this._count.textContent = `${shown + 1}/${count}`;
  }
}

/** Copies a text as it was written, and says so for a moment. @param {() => string} text */
function copyButton(text) {
  const node = iconButton('copy', t('Copy'), async () => {
    if (!(await copyAloud(text()))) return;
    showCopied(node, true);
    setTimeout(() => showCopied(node, false), COPIED_MS);
  });
  return node;
}

/**
 * Copies it, and says so; that the browser refuses is shown.
 *
 * @param {string} text
 */
export async function copyAloud(text) {
  const copied = await copyText(text);
  if (copied) announce(t('Copied'));
  else showNotice(t('The browser did not let it be copied.'), t('Close'), () => showNotice(''));
  return copied;
}

/** @param {HTMLElement} node @param {boolean} copied */
function showCopied(node, copied) {
  node.replaceChildren(icon(copied ? 'done' : 'copy'));
  node.title = copied ? t('Copied') : t('Copy');
}

/** @param {Turn} turn */
function hasEnded({ status }) {
  return status !== 'live';
}

/** @param {Turn} turn */
function hasFailed({ status }) {
  return status === 'failed' || status === 'lost';
}

/** @param {Turn} turn @param {Position} position */
function hasVersions(turn, { last, count }) {
  return hasEnded(turn) && last && count > 1;
}

/** @param {Turn} turn */
function canCopy(turn) {
  return hasEnded(turn) && turn.text !== '';
}

/** @param {Turn} turn */
function canShare(turn) {
  return turn.id !== '' && turn.text !== '' && !hasFailed(turn);
}

/** @param {Turn} turn @param {Position} position */
function canRegenerate(turn, { last }) {
  return last && hasEnded(turn) && !hasFailed(turn);
}

/** @param {Turn} turn @param {Position} position */
function canGoOn(turn, { last }) {
  const isCut = turn.status !== 'completed' || turn.reason === 'length';
  return last && hasEnded(turn) && isCut && turn.text !== '';
}

/** @param {Turn} turn @param {Position} position */
function canRetry(turn, { last }) {
  return last && hasFailed(turn);
}
