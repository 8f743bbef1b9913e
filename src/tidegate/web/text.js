/** A text of any length as text nodes, while it grows. */

/**
 * So many characters, at the least, have a node of their own. A browser shapes a text node anew when it grows, so what
 * a piece costs would grow with it; and it visits every node of a paragraph, so they are no shorter.
 */
const LEAST = 1024;

/** A node ends behind one of these, where no character is joined to the next. */
const ENDS = /[\s、。，]/g;

export class GrowingText {
  /** @param {Node} parent Its first node is appended to it, whatever may follow by then. */
  constructor(parent) {
    this._parent = parent;
    /** @type {Text[]} */
    this._nodes = [];
    this._isLastFull = true;
    /** What it ends with, behind all that is kept. */
    this._text = '';
  }

  /** @param {string} text What follows all that is kept: only what is new of it is written. */
  show(text) {
    const same = text.startsWith(this._text) ? this._text.length : common(text, this._text);
    this._shorten(this._text.length - same);
    this._grow(text.slice(same));
    this._text = text;
    if (this._nodes[0]?.length === 0) this._nodes.pop()?.remove();
  }

  /** @param {number} count So many characters more stay as they are. */
  keep(count) {
    this._text = this._text.slice(count);
  }

  /** @param {string} more */
  _grow(more) {
    while (more) {
      const last = this._isLastFull || !this._nodes.length ? this._append() : this._nodes[this._nodes.length - 1];
      ENDS.lastIndex = Math.max(0, LEAST - 1 - last.length);
      this._isLastFull = ENDS.test(more);
      const piece = this._isLastFull ? more.slice(0, ENDS.lastIndex) : more;
      last.appendData(piece);
      more = more.slice(piece.length);
    }
  }

  _append() {
    const node = document.createTextNode('');
    const last = this._nodes[this._nodes.length - 1];
    if (last) last.after(node);
    else this._parent.appendChild(node);
    this._nodes.push(node);
    return node;
  }

  /** @param {number} count */
  _shorten(count) {
    while (count > 0) {
      const last = this._nodes[this._nodes.length - 1];
      const { length } = last;
      const isAll = length <= count;
      // The first one keeps their place.
      if (isAll && this._nodes.length > 1) this._nodes.pop()?.remove();
      else last.deleteData(Math.max(0, length - count), Math.min(length, count));
      this._isLastFull = isAll && this._nodes[this._nodes.length - 1] !== last;
      count -= length;
    }
  }
}

/** @param {string} one @param {string} other @returns {number} How many characters they begin with alike. */
function common(one, other) {
  let count = 0;
  while (count < one.length && one[count] === other[count]) count += 1;
  return count;
}
