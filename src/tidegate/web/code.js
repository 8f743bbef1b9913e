/** A block of code as nodes, while it grows: its language, a button that copies it, and its lines. */

import { copyText } from './clipboard.js';
import { highlighted } from './highlight.js';
import { element } from './inline.js';
import { t } from './language.js';
import { languageOf } from './languages.js';
import { keepSelection } from './selection.js';
import { GrowingText } from './text.js';

/**
 * @typedef {import('./kinds.js').Code} Code
 * @typedef {import('./highlight.js').Within} Within
 *
 * @typedef {object} LineView
 * @property {HTMLElement} node
 * @property {number} from Where it begins in the code.
 * @property {GrowingText} text What is written of it, while it is.
 * @property {string | undefined} whole What it is, once it is whole and its language is known.
 * @property {Within} within What the line stands in, by the lines before it.
 * @property {Within} after What the next one stands in.
 */

const COPIED_FOR_MS = 2000;

export class CodeView {
  /** @param {Code} block */
  constructor(block) {
    this.of = block;
    this._code = document.createElement('code');
    this._language = languageOf(block.language);
    /** @type {LineView[]} */
    this._lines = [];
    const label = block.language ? t('Code, {language}', { language: block.language }) : t('Code');
    const pre = element('pre', [this._code]);
    // Who has no mouse moves it with the arrow keys.
    pre.tabIndex = 0;
    pre.setAttribute('role', 'group');
    pre.setAttribute('aria-label', label);
    this.node = element('div', [headOf(block), pre]);
    this.node.className = 'code';
  }

  /** It has grown at its end, or its last line was none of it. */
  update() {
    const { text, isClosed } = this.of;
    while (this._lines.length > 1 && (this._lines.at(-1)?.from ?? 0) > text.length) this._lines.pop()?.node.remove();
    for (let line = this._lines.at(-1) ?? this._add(0, undefined); ; ) {
      const end = text.indexOf('\n', line.from) + 1;
      show(line, text.slice(line.from, end || undefined), end > 0 || isClosed, this._language);
      if (!end) return;
      line = this._add(end, line.after);
    }
  }

  /** @param {number} from @param {Within} within */
  _add(from, within) {
    const line = { ...emptied(element('span', [])), from, within, after: within };
    this._code.append(line.node);
    this._lines.push(line);
    return line;
  }
}

/**
 * @param {LineView} line
 * @param {string} text
 * @param {boolean} isWhole
 * @param {import('./highlight.js').Language | undefined} language
 */
function show(line, text, isWhole, language) {
  if (line.whole !== undefined && !(isWhole && line.whole === text)) Object.assign(line, emptied(line.node));
  if (line.whole !== undefined) return;
  if (!isWhole || !language) {
    line.text.show(text);
    return;
  }
  const { tokens, within } = highlighted(text, language, line.within);
  line.whole = text;
  line.after = within;
  if (tokens.some(({ kind }) => kind)) keepSelection(line.node, () => line.node.replaceChildren(...tokens.map(nodeOf)));
  else line.text.show(text);
}

/** @param {HTMLElement} node */
function emptied(node) {
  node.textContent = '';
  return { node, text: new GrowingText(node), whole: /** @type {string | undefined} */ (undefined) };
}

/** @param {import('./highlight.js').Token} token */
function nodeOf({ kind, text }) {
  if (!kind) return text;
  const node = element('span', [text]);
  node.className = kind;
  return node;
}

/** @param {Code} block */
function headOf(block) {
  const language = element('span', [block.language || t('Code')]);
  language.className = 'language';
  const head = element('div', [language]);
  head.className = 'code-head';
  head.append(copyButton(block));
  return head;
}

/** @param {Code} block */
function copyButton(block) {
  const copy = element('button', [t('Copy')]);
  copy.className = 'copy';
  copy.setAttribute('type', 'button');
  copy.setAttribute('aria-live', 'polite');
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let shown;
  copy.addEventListener('click', async () => {
    copy.textContent = (await copyText(block.text)) ? t('Copied') : t('The browser did not let it be copied.');
    clearTimeout(shown);
    shown = setTimeout(() => {
      copy.textContent = t('Copy');
    }, COPIED_FOR_MS);
  });
  return copy;
}
