/**
 * The blocks of the little Markdown that models write: paragraphs, headings, lists, fenced code. Pure.
 *
 * The text comes in pieces, cut anywhere, and each piece is read once. What it changes is at the end: a block that the
 * next line cannot belong to is closed, and stays as it is.
 *
 * @typedef {{indent: number, ordered: boolean, start: number, text: string}} Item
 * @typedef {{kind: 'paragraph', text: string}} Paragraph
 * @typedef {{kind: 'heading', level: number, text: string}} Heading
 * @typedef {{kind: 'code', language: string, text: string}} Code
 * @typedef {{kind: 'list', items: Item[]}} List
 * @typedef {Paragraph | Heading | Code | List | {kind: 'rule'}} Block
 *
 * @typedef {{indent: string, mark: string, language: string}} Fence
 */

// No mark is looked for by a pattern that could read a line more than once: a line may be a whole answer.
const FENCE = /^(\s*)(`{3,}|~{3,})/;
const HEADING = /^(#{1,6})\s+/;
// In mid-answer the last item may have its mark and no text yet.
const ITEM = /^(\s*)(?:(?:[-*+]|(\d{1,9})[.)])\s+(\S[^]*)|(?:-|(\d{1,3})[.)])\s*)$/;
const RULE = /^(?:-{3,}|\*{3,}|_{3,})$/;
const BLANKS = /\s+/g;

// Whatever follows on such a line, outside of code: it begins, goes on with or ends the same block.
const SETTLED = new RegExp(
  [
    '[^\\s\\d`~#*_+-]',
    '\\d{10}|\\d{1,9}(?:[^\\d.)]|[.)]\\s*\\S)',
    '#[#\\s]*[^#\\s]',
    '\\+\\s*\\S',
    '([-*_])(?:\\s|\\1)*(?!\\1)\\S',
    '`{1,2}[^`]|~{1,2}[^~]|`{3,}[^`]+`|~{3,}(?!~)[^`]*`',
  ]
    .map((beginning) => `^\\s*(?:${beginning})`)
    .join('|'),
);

export class Blocks {
  constructor() {
    /** @type {Block[]} One that is not closed grows in place. */
    this.all = [];
    /** @type {Paragraph | Code | List | undefined} The last block, where the next line may belong to it. */
    this._open = undefined;
    /** @type {Fence} That of the code that is open. */
    this._fence = { indent: '', mark: '', language: '' };
    /** Whether the line before is blank, in a list. */
    this._afterBlank = false;
    /** Whether the line is the first one of the code. */
    this._isFirst = false;
    /** The line that is still being written, as far as it is here. */
    this._line = '';
    /** Whether the line stays what it is, whatever follows on it: so that each piece of it is read once. */
    this._isSettled = false;
    /** @type {(piece: string) => void} Adds to what the line's text has become part of. */
    this._grow = () => {};
    this._beginLine();
    this._readLine();
  }

  /** How many blocks stay as they are, whatever follows. */
  get closed() {
    const { length } = this.all;
    return this._isSettled ? length - 1 : this._before.closed;
  }

  /** @param {string} piece What follows the text so far. */
  push(piece) {
    const [rest, ...lines] = piece.split('\n');
    this._extendLine(rest);
    for (const line of lines) {
      this._beginLine();
      this._line = line;
      this._readLine();
    }
  }

  _beginLine() {
    const open = this._open;
    this._before = {
      open,
      afterBlank: this._afterBlank,
      isFirst: this._isFirst,
      count: this.all.length,
      closed: this.all.length - (open ? 1 : 0),
      items: open?.kind === 'list' ? open.items.length : 0,
      length: open ? growing(open).text.length : 0,
    };
  }

  /** @param {string} piece */
  _extendLine(piece) {
    if (!piece) return;
    this._line += piece;
    if (this._isSettled) {
      this._grow(piece);
    } else {
      this._forgetLine();
      this._readLine();
    }
  }

  /** Brings everything back to where it was before the line: with what has come of it, it is another one. */
  _forgetLine() {
    const { open, afterBlank, isFirst, count, items, length } = this._before;
    this.all.length = count;
    this._open = open;
    this._afterBlank = afterBlank;
    this._isFirst = isFirst;
    if (open?.kind === 'list') open.items.length = items;
    if (open) growing(open).text = growing(open).text.slice(0, length);
  }

  _readLine() {
    const line = this._line;
    this._isSettled = this._open?.kind === 'code' ? !isOnly(this._fence.mark[0], line) : SETTLED.test(line);
    if (!this._goOn(line)) this._begin(line);
  }

  /** @param {string} line Whether it belongs to the block that is open; if not, none is open any more. */
  _goOn(line) {
    const open = this._open;
    if (open?.kind === 'code') return this._goOnCode(open, line);
    if (open?.kind === 'list' && this._goOnList(open, line)) return true;
    if (open?.kind === 'paragraph' && line.trim() && !beginsBlock(line)) return this._add(open, `\n${line}`);
    this._open = undefined;
    return false;
  }

  /** @param {Code} code @param {string} line */
  _goOnCode(code, line) {
    const { indent, mark } = this._fence;
    const text = line.startsWith(indent) ? line.slice(indent.length) : line.trimStart();
    if (text.startsWith(mark) && isOnly(mark[0], text)) this._open = undefined;
    else this._add(code, this._isFirst ? text : `\n${text}`);
    this._isFirst = false;
    return true;
  }

  /** @param {List} list @param {string} line */
  _goOnList(list, line) {
    const { items } = list;
    const item = isRule(line) ? undefined : itemIn(line);
    const afterBlank = this._afterBlank;
    this._afterBlank = !line.trim();
    if (this._afterBlank) return !afterBlank;
    if (item) {
      if (item.indent < items[0].indent + 2 && item.ordered !== items[0].ordered) return false;
      items.push(item);
      return this._add(item, '');
    }
    if (afterBlank || !/^\s/.test(line) || fenceIn(line)) return false;
    return this._add(items[items.length - 1], `\n${line.trimStart()}`);
  }

  /** @param {string} line Of a block of its own, or blank. */
  _begin(line) {
    const fence = fenceIn(line);
    const heading = HEADING.exec(line);
    const item = itemIn(line);
    if (!line.trim()) return;
    if (fence) {
      this._fence = fence;
      this._isFirst = true;
      this._append({ kind: 'code', language: fence.language, text: '' });
    } else if (heading) {
      this._appendHeading(heading[1].length, heading[0].length);
    } else if (isRule(line)) {
      this.all.push({ kind: 'rule' });
    } else if (item) {
      this._append({ kind: 'list', items: [item] });
      this._add(item, '');
    } else {
      this._add(this._append({ kind: 'paragraph', text: '' }), line);
    }
  }

  /** @template {Paragraph | Code | List} B @param {B} block */
  _append(block) {
    this.all.push(block);
    this._open = block;
    this._afterBlank = false;
    return block;
  }

  /** @param {number} level @param {number} begin Where its text begins in the line. */
  _appendHeading(level, begin) {
    const text = () => withoutEndMark(this._line.slice(begin));
    /** @type {Heading} */
    const heading = { kind: 'heading', level, text: text() };
    this.all.push(heading);
    this._grow = () => {
      heading.text = text();
    };
  }

  /** @param {{text: string}} target @param {string} text The beginning of what it gets; the rest of the line follows. */
  _add(target, text) {
    target.text += text;
    this._grow = (piece) => {
      target.text += piece;
    };
    return true;
  }
}

/**
 * @param {string} source
 * @returns {Block[]}
 */
export function parse(source) {
  const blocks = new Blocks();
  blocks.push(source);
  return blocks.all;
}

/**
 * @param {string} line
 * @returns {Fence | undefined}
 */
function fenceIn(line) {
  const found = FENCE.exec(line);
  const rest = line.slice(found?.[0].length);
  if (!found || rest.includes('`')) return undefined;
  const [language] = rest.trimStart().split(/\s/, 1);
  return { indent: found[1], mark: found[2], language };
}

/**
 * @param {string} line
 * @returns {Item | undefined}
 */
function itemIn(line) {
  const found = ITEM.exec(line);
  if (!found) return undefined;
  const [, indent, filled, text = '', empty] = found;
  const number = filled ?? empty;
  return { indent: indent.length, ordered: number !== undefined, start: Number(number ?? 1), text };
}

/** @param {Paragraph | Code | List} block @returns {{text: string}} What of it one more line's text is added to. */
function growing(block) {
  return block.kind === 'list' ? block.items[block.items.length - 1] : block;
}

/** @param {string} text A heading may end with its mark, too. */
function withoutEndMark(text) {
  let end = text.length;
  while (text[end - 1] === '#') end -= 1;
  return text.slice(0, end).trimEnd();
}

/** @param {string} line */
function isRule(line) {
  return /^\s*[-*_]/.test(line) && RULE.test(line.replace(BLANKS, ''));
}

/** @param {string} mark @param {string} line Whether there is nothing else but blanks in it. */
function isOnly(mark, line) {
  return !line.replaceAll(mark, '').trim();
}

/** @param {string} line */
function beginsBlock(line) {
  return Boolean(fenceIn(line)) || HEADING.test(line) || ITEM.test(line) || isRule(line);
}
