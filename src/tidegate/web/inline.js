/** A text with code, links, bold and emphasis in it, as nodes. Text only ever becomes text nodes. */

import { t } from './language.js';
import { scan } from './spans.js';
import { GrowingText } from './text.js';

/**
 * @typedef {import('./spans.js').Span} Span
 * @typedef {Exclude<Span, {kind: 'text'}>} Marked
 *
 * @typedef {{span: Span, show: (span: Span) => void, remove: () => void}} SpanView One span's nodes; `show` brings them up to
 * another one of its kind.
 */

const NAMES = { code: 'code', strong: 'strong', emphasis: 'em', strike: 'del' };

/** The text of a paragraph, a heading or a cell as it grows: what has not changed keeps its nodes. */
export class Inline {
  /** @param {Node} parent Its nodes are appended to it. */
  constructor(parent) {
    this._spans = new SpanViews(parent);
    this._text = '';
    /** Up to here the text has been read once and for all. */
    this._at = 0;
  }

  /** @param {string} text The text before, with more at its end; or another one, which is shown anew. */
  show(text) {
    if (text === this._text) return;
    const known = text.length < this._text.length ? 0 : this._at;
    if (known < this._at) {
      this._spans.clear();
      this._at = 0;
    }
    this._text = text;
    const { spans, safe } = scan(text, this._at);
    this._spans.show(spans);
    this._spans.keep(safe.count, safe.length);
    this._at = safe.at;
  }
}

class SpanViews {
  /** @param {Node} parent */
  constructor(parent) {
    this._parent = parent;
    /** @type {SpanView[]} Those that may change. */
    this._views = [];
    /** Whether the first of them is a text whose beginning stays. */
    this._isBegun = false;
    this._isLed = false;
  }

  /** @param {Span[]} spans */
  show(spans) {
    this._isLed = this._isBegun && spans[0]?.kind !== 'text';
    if (this._isLed) spans = [{ kind: 'text', text: '' }, ...spans];
    let same = 0;
    while (same < this._views.length && same < spans.length && this._views[same].span.kind === spans[same].kind) {
      this._views[same].show(spans[same]);
      same += 1;
    }
    for (const view of this._views.splice(same)) view.remove();
    for (const span of spans.slice(same)) this._views.push(viewOf(span, this._parent));
  }

  /** @param {number} count So many spans stay as they are. @param {number} length And so much of the text behind them. */
  keep(count, length) {
    if (count === 0 && length === 0) return;
    this._views.splice(0, count && this._isLed ? count + 1 : count);
    const [first] = this._views;
    this._isBegun = length > 0;
    if (this._isBegun && first instanceof TextView) first.keep(length);
  }

  clear() {
    this._views = [];
    this._isBegun = false;
    this._parent.textContent = '';
  }
}

/** @param {Span} span @param {Node} parent @returns {SpanView} */
function viewOf(span, parent) {
  const view = span.kind === 'text' ? new TextView(span, parent) : new ElementView(span, parent);
  view.show(span);
  return view;
}

class TextView {
  /** @param {Span} span @param {Node} parent */
  constructor(span, parent) {
    this.span = span;
    this._text = new GrowingText(parent);
  }

  /** @param {Span} span */
  show(span) {
    if (span.kind === 'text') this._text.show(span.text);
  }

  /** @param {number} count */
  keep(count) {
    this._text.keep(count);
  }

  remove() {
    this._text.show('');
  }
}

class ElementView {
  /** @param {Marked} span @param {Node} parent */
  constructor(span, parent) {
    this.span = span;
    this._node = elementOf(span);
    this._children = new SpanViews(this._node);
    parent.appendChild(this._node);
  }

  /** @param {Span} span */
  show(span) {
    if (this._node instanceof HTMLAnchorElement && 'href' in span) lead(this._node, span.href);
    this._children.show(childrenOf(span));
  }

  remove() {
    this._node.remove();
  }
}

/** @param {Span} span @returns {Span[]} */
function childrenOf(span) {
  if ('children' in span) return span.children;
  const text = span.kind === 'image' ? t('Image: {text}', { text: span.text || span.href }) : span.text;
  return text ? [{ kind: 'text', text }] : [];
}

/** @param {Marked} span */
function elementOf(span) {
  if (span.kind !== 'link' && span.kind !== 'image') return document.createElement(NAMES[span.kind]);
  const link = document.createElement('a');
  link.rel = 'noopener noreferrer';
  link.target = '_blank';
  return link;
}

/** @param {HTMLAnchorElement} link @param {string} href */
function lead(link, href) {
  if (link.getAttribute('href') !== href) link.setAttribute('href', href);
}

/** @param {string} name @param {(string | Node)[]} children */
export function element(name, children) {
  const node = document.createElement(name);
  node.append(...children);
  return node;
}
