/**
 * The blocks of an answer's Markdown while it grows. Pure.
 *
 * The text comes in pieces, cut anywhere, and each piece is read once. What it changes is at the end: a block that the
 * next line cannot belong to is closed, and stays as it is.
 *
 * @typedef {import('./kinds.js').Block} Block
 */

import { Tree } from './tree.js';

export class Blocks {
  constructor() {
    this._tree = new Tree();
    /** The line that is still being written, as far as it is here and not settled. */
    this._line = '';
    /** Where the tree was before that line. */
    this._before = this._tree.keep();
    this._closedBefore = 0;
    /** Whether the text so far ends between the two characters of a line break. */
    this._isHalfBreak = false;
    this._tree.read('');
  }

  /** One that is not closed grows in place. */
  get all() {
    return this._tree.root.children;
  }

  /** How many blocks stay as they are, whatever follows. */
  get closed() {
    return this._tree.isSettled ? this.all.length - 1 : this._closedBefore;
  }

  /** @param {string} piece What follows the text so far. */
  push(piece) {
    const [rest, ...lines] = this._withoutReturns(piece).split('\n');
    this._extendLine(rest);
    for (const line of lines) this._beginLine(line);
  }

  /** @param {string} piece */
  _withoutReturns(piece) {
    if (!piece.includes('\r') && !this._isHalfBreak) return piece;
    const text = this._isHalfBreak ? `\r${piece}` : piece;
    this._isHalfBreak = text.endsWith('\r');
    return text.slice(0, this._isHalfBreak ? -1 : undefined).replace(/\r\n?/g, '\n');
  }

  /** @param {string} line Or its beginning. */
  _beginLine(line) {
    this._line = line;
    this._before = this._tree.keep();
    this._closedBefore = this._tree.closed;
    this._tree.read(line);
  }

  /** @param {string} piece */
  _extendLine(piece) {
    if (this._tree.isSettled) {
      this._tree.grow(piece);
    } else if (piece) {
      this._line += piece;
      this._tree.goBack(this._before);
      this._tree.read(this._line);
    }
  }
}

/** @param {string} source */
export function parse(source) {
  const blocks = new Blocks();
  blocks.push(source);
  return blocks.all;
}
