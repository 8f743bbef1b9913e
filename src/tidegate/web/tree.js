/**
 * The blocks of a text of Markdown, by CommonMark and GitHub's tables and tasks: what each line does to them. Pure.
 *
 * HTML is text, as everything is that has no meaning here: definitions of links, footnotes. A heading is underlined by two
 * characters at the least, since in mid-answer one is the beginning of an item.
 *
 * @typedef {import('./kinds.js').Block} Block
 * @typedef {import('./kinds.js').Code} Code
 * @typedef {import('./kinds.js').Item} Item
 * @typedef {import('./kinds.js').Paragraph} Paragraph
 * @typedef {import('./kinds.js').Table} Table
 *
 * @typedef {import('./kinds.js').Container} Container
 * @typedef {{block: Container, type: string, goesOn: (line: Line) => boolean}} Open A container that the next line may belong
 * to, and whether it does; the line's mark of it is taken then. `type`: of a list's marks.
 * @typedef {{count: number, leaf: Tree['_leaf'], isWhole: boolean, isItem: boolean}} Place Where a line's words are read: inside
 * so many containers, with a block that they may go on with; whether the line belongs to all that were open; whether it
 * begins an item.
 */

import { codeIn, codeState } from './codelines.js';
import { Line } from './line.js';
import { delimiterIn, fenceIn, headingIn, headingText, isRule, isUndecided, itemIn, mayEndFence, underlineIn } from './marks.js';
import { CODE_INDENT, goesOnItem, goesOnQuote, push, restore, stateOf } from './nesting.js';
import { rowIn } from './row.js';

/** Marks of quotes and items further inside are text: no page nests deeper, and no answer means it. */
const DEEPEST = 24;

const TASK = /^\[([ xX])\]\s+(?=\S)/;

export class Tree {
  constructor() {
    /** @type {import('./kinds.js').Document} */
    this.root = { kind: 'document', children: [] };
    /** @type {Open[]} The outermost first. */
    this._open = [{ block: this.root, type: '', goesOn: () => true }];
    /** @type {Paragraph | Code | Table | undefined} The innermost block, where the next line may belong to it. */
    this._leaf = undefined;
    this._code = codeState('', 0);
    /** The last line of the paragraph that is open. */
    this._above = '';
    this._isAfterBlank = false;
    /** Whether the line that was read stays what it is, whatever follows on it. */
    this.isSettled = false;
    /** @type {(piece: string) => void} Adds to what has become of the line. */
    this.grow = () => {};
  }

  /** How many of the root's blocks no further line can belong to. */
  get closed() {
    return this.root.children.length - (this._leaf || this._open.length > 1 ? 1 : 0);
  }

  /** What is needed to go back to where it is now, after one more line. */
  keep() {
    const { _leaf: leaf, _code: code, _above: above, _isAfterBlank: isAfterBlank } = this;
    const open = this._open.map((one) => ({ one, ...stateOf(one.block) }));
    const text = leaf && leaf.kind !== 'table' ? leaf.text : '';
    const rows = leaf?.kind === 'table' ? leaf.rows.length : 0;
    return { leaf, code, above, isAfterBlank, open, text, rows };
  }

  /** @param {ReturnType<Tree['keep']>} kept */
  goBack({ leaf, code, above, isAfterBlank, open, text, rows }) {
    this._leaf = leaf;
    this._code = code;
    this._above = above;
    this._isAfterBlank = isAfterBlank;
    this._open = open.map(({ one, count, last, isLoose }) => {
      restore(one.block, count, last, isLoose);
      return one;
    });
    if (leaf?.kind === 'table') leaf.rows.length = rows;
    else if (leaf) leaf.text = text;
    if (leaf?.kind === 'code') leaf.isClosed = false;
  }

  /** @param {string} text One line, or its beginning. */
  read(text) {
    const line = new Line(text);
    const matched = this._match(line);
    const leaf = this._leaf;
    this.isSettled = !line.isBlank;
    this.grow = () => {};
    if (leaf?.kind === 'code' && matched === this._open.length && this._goOnCode(leaf, line)) return;
    if (line.isBlank) {
      this._closeTo(matched);
      this._isAfterBlank = true;
    } else {
      this._readMarks(line, matched);
      this._isAfterBlank = false;
    }
  }

  /** @param {Line} line @returns {number} How many of the containers it belongs to. */
  _match(line) {
    let count = 1;
    while (count < this._open.length && this._open[count].goesOn(line)) count += 1;
    return count;
  }

  /** @param {Line} line @param {number} matched */
  _readMarks(line, matched) {
    const isWhole = matched === this._open.length;
    /** @type {Place} */
    let place = { count: matched, leaf: this._leaf, isWhole, isItem: false };
    this._note(line, place);
    while (line.indent < CODE_INDENT) {
      if (this._turn(line, place) || this._beginLeaf(line, place)) return;
      if (!this._enter(line, place)) return this._readText(line, place);
      if (line.isBlank) {
        this.isSettled = false;
        return;
      }
      const isItem = this._top.block.kind === 'item';
      place = { count: this._open.length, leaf: undefined, isWhole: true, isItem };
      this._note(line, place);
    }
    if (place.leaf?.kind === 'paragraph') this._readText(line, place);
    else this._beginIndented(line, place);
  }

  get _top() {
    return this._open[this._open.length - 1];
  }

  /** @param {Line} line @param {Place} place */
  _note(line, place) {
    const isUnderText = isUnder(place);
    if (isUndecided(line.words, { isUnderText, isFirstOfItem: place.isItem })) this.isSettled = false;
  }

  /** Whether it makes something else of the text above. @param {Line} line @param {Place} place */
  _turn({ words }, { leaf, isWhole }) {
    if (!isWhole || leaf?.kind !== 'paragraph') return false;
    const level = underlineIn(words);
    const aligns = delimiterIn(words);
    const { children } = this._top.block;
    if (aligns && rowIn(this._above).cells.length === aligns.length) {
      this._leaf = { kind: 'table', aligns, rows: [rowIn(this._above)] };
      if (leaf.text.length > this._above.length) leaf.text = leaf.text.slice(0, -this._above.length).trimEnd();
      else children.pop();
      push(children, this._leaf);
    } else if (level) {
      this._leaf = undefined;
      children.pop();
      push(children, { kind: 'heading', level, text: leaf.text });
    } else {
      return false;
    }
    return true;
  }

  /** @param {Line} line @param {Place} place Whether a block is what it begins with that no other is inside of. */
  _beginLeaf({ words, indent }, { count }) {
    const heading = headingIn(words);
    const fence = fenceIn(words);
    if (isRule(words)) {
      this._add({ kind: 'rule' }, count);
    } else if (heading) {
      this._beginHeading(heading.level, words.slice(heading.width), count);
    } else if (fence) {
      this._code = codeState(fence.mark, indent);
      this._leaf = this._add({ kind: 'code', language: fence.language, text: '', isClosed: false }, count);
    } else {
      return false;
    }
    return true;
  }

  /** @param {number} level @param {string} source @param {number} count */
  _beginHeading(level, source, count) {
    const heading = this._add({ kind: 'heading', level, text: headingText(source) }, count);
    this.grow = (piece) => {
      source += piece;
      heading.text = headingText(source);
    };
  }

  /** @param {Line} line @param {Place} place */
  _beginIndented(line, { count }) {
    const code = this._add({ kind: 'code', language: '', text: '', isClosed: false }, count);
    this._leaf = code;
    this._code = codeState('', CODE_INDENT);
    const { isSettled } = this;
    this._goOnCode(code, line);
    this.isSettled = isSettled;
  }

  /** @param {Line} line @param {Place} place Whether its words belong to a quote or to an item. */
  _enter(line, place) {
    if (this._open.length >= DEEPEST) return false;
    if (line.words[0] === '>') return this._enterQuote(line, place);
    const mark = itemIn(line.words);
    if (!mark || (isUnder(place) && (mark.isEmpty || mark.start !== 1))) return false;
    this._enterItem(line, mark, place);
    return true;
  }

  /** @param {Line} line @param {Place} place */
  _enterQuote(line, { count }) {
    const block = this._add({ kind: 'quote', children: [] }, count);
    this._open.push({ block, type: '', goesOn: goesOnQuote });
    return goesOnQuote(line);
  }

  /** @param {Line} line @param {import('./marks.js').Mark} mark @param {Place} place */
  _enterItem(line, { type, start, width, isEmpty }, { count }) {
    const before = line.indent;
    line.take(width);
    const blanks = isEmpty || line.indent > CODE_INDENT ? 1 : line.indent;
    line.skip(blanks);
    this._closeTo(count);
    if (this._top.block.kind !== 'list' || this._top.type !== type) {
      const isOrdered = type === '.' || type === ')';
      const block = this._add({ kind: 'list', isOrdered, start, isLoose: false, children: [] }, count);
      this._open.push({ block, type, goesOn: () => true });
    }
    /** @type {Item} */
    const item = { kind: 'item', isDone: undefined, children: [] };
    this._insert(item);
    const goesOn = (/** @type {Line} */ next) => goesOnItem(next, item, before, before + width + blanks);
    this._open.push({ block: item, type: '', goesOn });
  }

  /** @param {Line} line @param {Place} place */
  _readText({ words }, place) {
    const { leaf, count, isWhole, isItem } = place;
    if (leaf?.kind === 'paragraph') return this._addText(leaf, words, '\n');
    if (leaf?.kind === 'table' && isWhole) return this._addRow(leaf, words);
    const task = isItem ? TASK.exec(words) : null;
    const item = this._top.block;
    if (task && item.kind === 'item') item.isDone = task[1] !== ' ';
    const paragraph = this._add({ kind: 'paragraph', text: '' }, count);
    this._leaf = paragraph;
    this._addText(paragraph, words.slice(task?.[0].length), '');
  }

  /** @param {Paragraph} paragraph @param {string} words @param {string} before */
  _addText(paragraph, words, before) {
    paragraph.text += before + words;
    this._above = words;
    this.grow = (piece) => {
      paragraph.text += piece;
      this._above += piece;
    };
  }

  /** @param {Table} table @param {string} words */
  _addRow({ aligns, rows }, words) {
    const row = rowIn(words, aligns.length);
    rows.push(row);
    this.grow = (piece) => row.grow(piece);
  }

  /** @param {Code} code @param {Line} line @returns {boolean} Whether it belongs to it. */
  _goOnCode(code, line) {
    const { mark } = this._code;
    this.isSettled = mark ? !mayEndFence(line.words, mark[0]) : !line.isBlank;
    const isBlank = !mark && line.isBlank;
    const found = codeIn(this._code, line);
    if (!found) return false;
    this._isAfterBlank = isBlank;
    if (found === 'end') {
      this._closeTo(this._open.length);
    } else {
      code.text += found.text;
      this._code = found.state;
      this.grow = (piece) => {
        code.text += piece;
      };
    }
    return true;
  }

  /**
   * @template {Block} B
   * @param {B} block
   * @param {number} count So many containers stay open; it is put into the innermost of them.
   */
  _add(block, count) {
    this._closeTo(count);
    if (this._top.block.kind === 'list') this._open.pop();
    return this._insert(block);
  }

  /** @template {Block | Item} B @param {B} block */
  _insert(block) {
    const { block: top } = this._top;
    const list = top.kind === 'list' ? top : this._open[this._open.length - 2]?.block;
    const isFurther = top.children.length > 0 && (top.kind === 'list' || top.kind === 'item');
    if (this._isAfterBlank && isFurther && list?.kind === 'list') list.isLoose = true;
    push(top.children, block);
    return block;
  }

  /** @param {number} count So many containers stay open, and no block inside of them. */
  _closeTo(count) {
    this._open.length = count;
    if (this._leaf?.kind === 'code') this._leaf.isClosed = true;
    this._leaf = undefined;
  }
}

/** @param {Place} place Whether it stands right below the text of a paragraph. */
function isUnder({ leaf, isWhole }) {
  return isWhole && leaf?.kind === 'paragraph';
}
