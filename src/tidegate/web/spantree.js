/**
 * The spans of a text, as they stand in each other, of the pieces that it was read as. Pure.
 *
 * @typedef {import('./spans.js').Span} Span
 * @typedef {import('./spans.js').Safe} Safe
 * @typedef {import('./spans.js').Piece} Piece
 */

/** What is marked further inside stands in what it is in, without being marked itself. */
const DEEPEST = 12;

/** The end of a text that may be the beginning of an address. */
const ADDRESS_BEGUN = /(?:h|ht|htt|https?:?\/?|ww?w?)$/i;
const LONGEST_BEGINNING = 8;

/**
 * @param {string} text
 * @param {Piece[]} pieces
 * @param {number} pending From here on, what follows may change what there is.
 * @returns {{spans: Span[], safe: Safe}}
 */
export function grown(text, pieces, pending) {
  const tree = new SpanTree();
  /** @type {Safe} */
  let safe = { at: pieces[0]?.from ?? text.length, count: 0, length: 0 };
  const limit = Math.min(pending, text.length - 1);
  for (const piece of pieces) {
    tree.take(piece);
    if (!tree.isInside && piece.from < limit) safe = safeIn(text, piece, limit, tree.spans) ?? safe;
  }
  return { spans: tree.spans, safe };
}

/** @param {string} text @param {Piece} piece @param {number} limit @param {Span[]} spans With it at their end. */
function safeIn(text, piece, limit, spans) {
  const at = piece.kind === 'text' ? safeAt(text, piece, limit) : piece.to;
  if (at === undefined || at > limit) return undefined;
  const last = spans[spans.length - 1];
  const isText = last?.kind === 'text';
  return { at, count: spans.length - (isText ? 1 : 0), length: isText ? last.text.length - (piece.to - at) : 0 };
}

/**
 * A place where a text may be cut: not between blanks, which may be at the end of a line, nor in the middle of a character,
 * nor where an address may have begun.
 *
 * @param {string} text @param {{from: number, to: number, text: string}} piece @param {number} limit
 */
function safeAt(text, { from, to, text: words }, limit) {
  // What is not written as it is read, is not cut.
  if (words.length !== to - from) return to <= limit ? to : undefined;
  for (let at = Math.min(limit, to); at > from; at -= 1) {
    if (/\s/.test(text[at]) && /\s/.test(text[at - 1])) continue;
    if (/[\udc00-\udfff]/.test(text[at])) continue;
    if (!ADDRESS_BEGUN.test(text.slice(Math.max(from, at - LONGEST_BEGINNING), at))) return at;
  }
  return undefined;
}

class SpanTree {
  constructor() {
    /** @type {Span[]} */
    this.spans = [];
    /** @type {{children: Span[], image: import('./spans.js').Image | undefined, isLink: boolean}[]} The innermost last. */
    this._open = [{ children: this.spans, image: undefined, isLink: false }];
  }

  get isInside() {
    return this._open.length > 1;
  }

  get _top() {
    return this._open[this._open.length - 1];
  }

  /** @param {Piece} piece */
  take(piece) {
    if (piece.kind === 'run') this._takeRun(piece);
    else if (piece.kind === 'bracket') this._takeBracket(piece);
    else if (piece.kind === 'end') this._close();
    else if (piece.kind === 'text') this._addText(piece.text);
    else if (piece.kind === 'code') this._top.children.push({ kind: 'code', text: piece.text });
    else if (piece.kind === 'link') this._takeAddress(piece);
  }

  /** @param {import('./emphasis.js').Run} run */
  _takeRun({ mark, left, closes, opens }) {
    for (const _ of closes) this._close();
    this._addText(mark.repeat(left));
    for (const kind of opens.toReversed()) this._enter({ kind, children: [] }, this._top.isLink);
  }

  /** @param {import('./spans.js').Bracket} bracket */
  _takeBracket({ text, isImage, href }) {
    if (href === undefined) this._addText(text);
    else if (isImage) this._open.push({ children: [], image: { kind: 'image', href, text: '' }, isLink: true });
    else this._enter({ kind: 'link', href, children: [] }, true);
  }

  /** Links do not stand in links. @param {import('./spans.js').Link} link */
  _takeAddress({ href, children }) {
    if (this._top.isLink) this._addText(textOf(children));
    else this._top.children.push({ kind: 'link', href, children });
  }

  /** @param {import('./spans.js').Styled | import('./spans.js').Link} span @param {boolean} isLink */
  _enter(span, isLink) {
    const { children } = this._top;
    const isTooDeep = this._open.length > DEEPEST;
    if (!isTooDeep) children.push(span);
    this._open.push({ children: isTooDeep ? children : span.children, image: undefined, isLink });
  }

  _close() {
    const closed = this._open.pop();
    if (!closed?.image) return;
    const image = { ...closed.image, text: textOf(closed.children) };
    if (this._top.isLink) this._addText(image.text);
    else this._top.children.push(image);
  }

  /** @param {string} text */
  _addText(text) {
    const { children } = this._top;
    const last = children[children.length - 1];
    if (last?.kind === 'text') last.text += text;
    else if (text) children.push({ kind: 'text', text });
  }
}

/** @param {Span[]} spans @returns {string} */
function textOf(spans) {
  return spans.map((span) => ('children' in span ? textOf(span.children) : span.text)).join('');
}
