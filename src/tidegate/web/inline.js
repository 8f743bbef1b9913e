/** A text with code, bold and emphasis in it, as nodes. Text only ever becomes text nodes. */

import { after, scan, Spans } from './spans.js';
import { GrowingText } from './text.js';

/** @typedef {import('./spans.js').Span} Span */

const NAMES = { code: 'code', strong: 'strong', emphasis: 'em' };

/** The text of a paragraph, a heading or an item as it grows: what has not changed keeps its nodes. */
export class Inline {
  /** @param {HTMLElement} parent Its nodes are appended to it. */
  constructor(parent) {
    this._parent = parent;
    this._spans = new Spans();
    /** @type {Span | undefined} The last one on the page. */
    this._last = undefined;
    /** @type {{text: GrowingText, element: HTMLElement}[]} Each span's, with the text between it and the one before. */
    this._parts = [];
    /** What follows the last span. */
    this._rest = new GrowingText(parent);
  }

  /** @param {string} text The text before, with more at its end or without its last line. */
  show(text) {
    const last = this._spans.read(text);
    const same = common(this._last, last);
    this._cut(same?.count ?? 0);
    let at = same?.to ?? 0;
    for (const { kind, from, begin, end, to } of after(same, last)) {
      this._rest.show(text.slice(at, from));
      const element = marked(kind, text.slice(begin, end));
      this._parent.append(element);
      this._parts.push({ text: this._rest, element });
      this._rest = new GrowingText(this._parent);
      at = to;
    }
    this._rest.show(text.slice(at));
    this._last = last;
  }

  /** @param {number} count The spans that stay. */
  _cut(count) {
    const [first] = this._parts.slice(count);
    if (!first) return;
    this._rest.remove();
    for (const { text, element } of this._parts.splice(count)) {
      element.remove();
      if (text !== first.text) text.remove();
    }
    this._rest = first.text;
  }
}

/**
 * The last span that both chains have. They are of one text, so what stands before a span that they have is the same, too.
 *
 * @param {Span | undefined} one
 * @param {Span | undefined} other
 * @returns {Span | undefined} As it is in the other one.
 */
function common(one, other) {
  while (one && other && !(one.count === other.count && one.from === other.from && one.to === other.to)) {
    const { count } = one;
    if (count >= other.count) one = one.before;
    if (count <= other.count) other = other.before;
  }
  return one && other;
}

/**
 * @param {string} text
 * @returns {(string | Node)[]}
 */
export function spans(text) {
  return scan(text).map(({ kind, text: words }) => (kind === 'text' ? words : marked(kind, words)));
}

/** @param {Span['kind']} kind @param {string} words */
function marked(kind, words) {
  return element(NAMES[kind], kind === 'code' ? [words] : spans(words));
}

/** @param {string} name @param {(string | Node)[]} children */
export function element(name, children) {
  const node = document.createElement(name);
  node.append(...children);
  return node;
}
