/** A text of any length as text nodes, while it grows. */

/**
 * So many characters, at the least, have a node of their own. A browser shapes a text node anew when it grows, so what
 * a piece costs would grow with it; and it visits every node of a paragraph, so they are no shorter.
 */
const LEAST = 1024;

/** A node ends behind one of these, where no character is joined to the next. */
const ENDS = /[\s、。，]/g;

export class GrowingText {
  /** @param {HTMLElement} parent Its nodes are appended to it. */
  constructor(parent) {
    this._parent = parent;
    /** @type {Text[]} */
    this._nodes = [];
    this._length = 0;
    this._isLastFull = true;
  }

  /** @param {string} text What it was before, with more or less at its end. */
  show(text) {
    while (this._length > text.length) this._shorten(this._length - text.length);
    while (this._length < text.length) this._grow(text.slice(this._length));
  }

  remove() {
    for (const node of this._nodes) node.remove();
  }

  /** @param {string} more */
  _grow(more) {
    const last = this._isLastFull ? this._append() : this._nodes[this._nodes.length - 1];
    ENDS.lastIndex = Math.max(0, LEAST - 1 - last.length);
    this._isLastFull = ENDS.test(more);
    const piece = this._isLastFull ? more.slice(0, ENDS.lastIndex) : more;
    last.appendData(piece);
    this._length += piece.length;
  }

  _append() {
    const node = document.createTextNode('');
    this._nodes.push(node);
    this._parent.append(node);
    return node;
  }

  /** @param {number} count */
  _shorten(count) {
    const last = this._nodes[this._nodes.length - 1];
    const { length } = last;
    if (length <= count) this._nodes.pop()?.remove();
    else last.deleteData(length - count, count);
    this._length -= Math.min(length, count);
    this._isLastFull = length <= count;
  }
}
