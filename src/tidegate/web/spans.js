/**
 * What stands within a text of Markdown: code, links, bold, emphasis, and the text between them. Pure.
 *
 * The text comes in pieces, cut anywhere, and is read anew from a place before which nothing changes any more, whatever
 * follows. Marks that are open keep that place from going on, but none reaches further than `REACH`: so each piece costs
 * no more than that, and a text of any length as much as it is long.
 *
 * @typedef {{kind: 'text', text: string}} Text
 * @typedef {{kind: 'code', text: string}} Code
 * @typedef {{kind: 'image', href: string, text: string}} Image
 * @typedef {{kind: import('./emphasis.js').Style, children: Span[]}} Styled
 * @typedef {{kind: 'link', href: string, children: Span[]}} Link
 * @typedef {Text | Code | Image | Styled | Link} Span
 *
 * @typedef {{at: number, count: number, length: number}} Safe Before `at` nothing changes any more: those are so many spans,
 * and so many characters of the text behind them.
 *
 * @typedef {{kind: 'bracket', from: number, to: number, text: string, isImage: boolean, href: string | undefined,
 *   runs: number}} Bracket `runs`: how many came before it.
 * @typedef {{kind: 'end', from: number, to: number}} End Of a link or an image.
 * @typedef {{from: number, to: number} & (Text | Code | Image | Link)} Whole
 * @typedef {Whole | Bracket | End | import('./emphasis.js').Run} Piece
 */

import { pair, REACH, runIn } from './emphasis.js';
import { entityAt } from './entities.js';
import { addressAt, autolinkAt, destinationAt } from './links.js';
import { grown } from './spantree.js';

const NEXT = /[\\`*_~![\]<&\n]|https?:\/\/|www\./gi;
const RUN = /\*+|_+|~+/y;
const TICKS = /`+/g;
const ESCAPED = /[!-/:-@[-`{-~]/;
const TAG = /<\/?[a-z][^<>\n]{0,1000}>/iy;
const ANGLE_BEGUN = /<(?:[/\w.+-][^<>\n]{0,2100})?$/y;

/**
 * @param {string} text
 * @param {number} [from] A place that was safe in the text so far.
 * @returns {{spans: Span[], safe: Safe}}
 */
export function scan(text, from = 0) {
  const scanner = new Scanner(text, from);
  scanner.read();
  return grown(text, scanner.pieces, scanner.pending);
}

class Scanner {
  /** @param {string} text @param {number} from */
  constructor(text, from) {
    this._text = text;
    this._at = from;
    /** @type {Piece[]} */
    this.pieces = [];
    /** From here on, what follows may change what there is. */
    this.pending = text.length;
    /** @type {import('./emphasis.js').Run[]} That are in no link. */
    this._runs = [];
    /** @type {Bracket[]} That are open. */
    this._brackets = [];
    /** Links are not inside of links: brackets before that are none's beginning. */
    this._linksFrom = -1;
    this._ticks = ticksIn(text, from);
  }

  read() {
    NEXT.lastIndex = this._at;
    for (let found = NEXT.exec(this._text); found; found = NEXT.exec(this._text)) {
      this._take('text', this._text.slice(this._at, found.index), found.index);
      this._readMark(found[0]);
      NEXT.lastIndex = this._at;
    }
    this._take('text', this._text.slice(this._at), this._text.length);
    for (const { from } of [...pair(this._runs), ...this._brackets]) this._wait(from);
  }

  /** @param {string} mark */
  _readMark(mark) {
    if (mark.length > 1) return this._readAddress(mark);
    if (mark === '\\') return this._readEscape();
    if (mark === '`') return this._readTicks();
    if (mark === '&') return this._readEntity();
    if (mark === '<') return this._readAngle();
    if (mark === '\n') return this._readBreak();
    if (mark === ']') return this._readEnd();
    if (mark === '[' || mark === '!') return this._readBracket(mark);
    return this._readRun();
  }

  /** @param {number} from What begins there may become something else, unless that is too far away by now. */
  _wait(from) {
    if (this._text.length - from <= REACH) this.pending = Math.min(this.pending, from);
  }

  /** @param {'text' | 'code'} kind @param {string} text @param {number} to */
  _take(kind, text, to) {
    if (to > this._at) this.pieces.push({ kind, text, from: this._at, to });
    this._at = to;
  }

  /** @param {number} length Of the source, which is taken as it is. */
  _takeText(length) {
    this._take('text', this._text.slice(this._at, this._at + length), this._at + length);
  }

  /** @param {{href: string, words: string, to: number}} link */
  _takeLink({ href, words, to }) {
    this.pieces.push({ kind: 'link', href, children: [{ kind: 'text', text: words }], from: this._at, to });
    this._at = to;
  }

  /** @param {string} mark */
  _readAddress(mark) {
    const { link, reach } = addressAt(this._text, this._at);
    if (reach === this._text.length) this._wait(this._at);
    if (link) this._takeLink(link);
    else this._takeText(mark.length);
  }

  _readEscape() {
    const next = this._text[this._at + 1] ?? '';
    if (next === '\n') this._take('text', '', this._at + 1);
    else if (ESCAPED.test(next)) this._take('text', next, this._at + 2);
    else this._takeText(1);
  }

  _readTicks() {
    const length = lengthAt(this._text, this._at);
    const begin = this._at + length;
    const end = this._ticks(length, begin);
    const isCode = end !== undefined && end - this._at <= REACH;
    if (isCode) return this._take('code', codeIn(this._text.slice(begin, end)), end + length);
    this._wait(this._at);
    return this._takeText(length);
  }

  _readEntity() {
    const found = entityAt(this._text, this._at);
    if (found === 'begun') this._wait(this._at);
    if (found && found !== 'begun') this._take('text', found.text, found.to);
    else this._takeText(1);
  }

  /** HTML is text, and the marks in its tags are none. */
  _readAngle() {
    const link = autolinkAt(this._text, this._at);
    if (link) return this._takeLink(link);
    TAG.lastIndex = ANGLE_BEGUN.lastIndex = this._at;
    const tag = TAG.exec(this._text);
    if (!tag && ANGLE_BEGUN.test(this._text)) this._wait(this._at);
    return this._takeText(tag ? tag[0].length : 1);
  }

  /** Blanks at the end of a line are none of the text. */
  _readBreak() {
    const last = this.pieces[this.pieces.length - 1];
    if (last?.kind === 'text') last.text = last.text.replace(/(?<![ \t])[ \t]+$/, '');
    this._takeText(1);
  }

  _readRun() {
    RUN.lastIndex = this._at;
    RUN.test(this._text);
    const run = runIn(this._text, this._at, RUN.lastIndex);
    this.pieces.push(run);
    this._runs.push(run);
    this._at = run.to;
  }

  /** @param {string} mark */
  _readBracket(mark) {
    const isImage = mark === '!';
    if (isImage && this._text[this._at + 1] !== '[') return this._takeText(1);
    const from = this._at;
    const to = from + (isImage ? 2 : 1);
    /** @type {Bracket} */
    const bracket = {
      ...{ kind: 'bracket', from, to, text: this._text.slice(from, to), isImage, href: undefined },
      runs: this._runs.length,
    };
    this.pieces.push(bracket);
    this._brackets.push(bracket);
    this._at = to;
    return undefined;
  }

  _readEnd() {
    const bracket = this._brackets.pop();
    const found = bracket && this._at - bracket.from <= REACH ? destinationAt(this._text, this._at + 1) : undefined;
    if (!bracket || !found || found === 'begun' || (!bracket.isImage && bracket.from < this._linksFrom)) {
      if (bracket && found === 'begun') this._wait(bracket.from);
      return this._takeText(1);
    }
    bracket.href = found.href;
    pair(this._runs.splice(bracket.runs));
    if (!bracket.isImage) this._linksFrom = bracket.from;
    this.pieces.push({ kind: 'end', from: this._at, to: found.to });
    this._at = found.to;
    return undefined;
  }
}

/** @param {string} text @param {number} at */
function lengthAt(text, at) {
  let to = at;
  while (text[to] === '`') to += 1;
  return to - at;
}

/**
 * @param {string} text
 * @param {number} from
 * @returns {(length: number, at: number) => number | undefined} Where the next ticks of that length are; asked about places
 * in the order of the text.
 */
function ticksIn(text, from) {
  /** @type {Map<number, number[]>} The last one first. */
  const places = new Map();
  for (const { index, 0: ticks } of [...text.slice(from).matchAll(TICKS)].reverse()) {
    const known = places.get(ticks.length);
    if (known) known.push(from + index);
    else places.set(ticks.length, [from + index]);
  }
  return (length, at) => {
    const found = places.get(length) ?? [];
    while (found.length && found[found.length - 1] < at) found.pop();
    return found[found.length - 1];
  };
}

/** @param {string} source One blank on each side is none of it. */
function codeIn(source) {
  const text = source.replaceAll('\n', ' ');
  return text.startsWith(' ') && text.endsWith(' ') && text.trim() ? text.slice(1, -1) : text;
}
