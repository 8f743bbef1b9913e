/**
 * What stands within a text of Markdown: code, bold, emphasis, and the text between them. Pure.
 *
 * The text comes in pieces, cut anywhere. It is read from left to right, and nothing is looked at more often than a fixed
 * number of times: a line is one message of somebody in a room, or one answer, and may be as long as that. States are
 * never changed, so one is kept by keeping it: that at a mark which opens something, to go back to when it is closed,
 * and that at the end of a line.
 *
 * @typedef {object} Span The last one of a chain.
 * @property {'code' | 'strong' | 'emphasis'} kind
 * @property {number} from Where its first mark stands.
 * @property {number} begin
 * @property {number} end Its text is from `begin` to here.
 * @property {number} to Behind its last mark.
 * @property {Span | undefined} before
 * @property {number} count Of the spans in the chain.
 *
 * @typedef {object} Opener A mark that nothing has closed yet; the last one of a chain, in which each mark stands once.
 * @property {string} mark
 * @property {number} from
 * @property {Span | undefined} span The last one before it.
 * @property {Opener | undefined} before
 *
 * @typedef {object} State
 * @property {number} at Up to here the text has been read.
 * @property {Span | undefined} span
 * @property {Opener | undefined} opener Of code or bold.
 * @property {Opener | undefined} star Of emphasis. The very next star closes it, or nothing does: so it is read once.
 */

const SPACE = /\s/;
const WORD = /\w/;
/** @type {State} */
const BEGINNING = { at: 0, span: undefined, opener: undefined, star: undefined };

export class Spans {
  constructor() {
    this._text = '';
    this._state = BEGINNING;
    /** Where it stood at the end of the last line but one. */
    this._atLine = BEGINNING;
  }

  /**
   * @param {string} text The text before, with more at its end or without its last line.
   * @returns {Span | undefined} The last one, with all before it.
   */
  read(text) {
    const known = this._text.length;
    this._text = text;
    if (text.length < known) this._state = this._atLine;
    const line = text.slice(known).lastIndexOf('\n');
    if (line >= 0) this._atLine = this._state = this._readTo(known + line);
    this._state = this._readTo(text.length);
    // Marks at the end may become other marks.
    return this._readRun(this._state, text.length).span;
  }

  /** @param {number} limit Marks that reach up to it are left for later. @returns {State} */
  _readTo(limit) {
    const runs = /`+|\*+/g;
    let state = this._state;
    runs.lastIndex = state.at;
    for (let found = runs.exec(this._text); found; found = runs.exec(this._text)) {
      if (runs.lastIndex >= limit) return { ...state, at: Math.min(found.index, limit) };
      state = this._readRun({ ...state, at: found.index }, runs.lastIndex);
    }
    return { ...state, at: limit };
  }

  /** @param {State} state Before a run of one mark. @param {number} to Its end. @returns {State} Behind it. */
  _readRun(state, to) {
    if (state.at < to && this._text[state.at] === '`') return this._readTicks(state, to);
    while (state.at < to) state = this._readStars(state, to);
    return state;
  }

  /** @param {State} state @param {number} to @returns {State} */
  _readTicks(state, to) {
    const mark = this._text.slice(state.at, to);
    const opener = openerOf(mark, state);
    return opener ? closed(state, opener, state.at) : opened(state, mark);
  }

  /** @param {State} state @param {number} to @returns {State} */
  _readStars(state, to) {
    const { at, star } = state;
    const emphasis = star && this._closes(star.from + 1, at) ? star : undefined;
    const strong = openerOf('**', state);
    const end = strong ? this._pairFrom(Math.max(at, strong.from + 3), to) : -1;
    const decided = { ...state, star: undefined };
    if (strong && end >= 0 && !(emphasis && emphasis.from < strong.from)) return closed(decided, strong, end);
    if (emphasis) return closed(decided, emphasis, at);
    const mark = to - at > 1 ? '**' : '*';
    return this._opens(mark, at) ? opened(decided, mark) : { ...decided, at: at + mark.length };
  }

  /** @param {number} at @param {number} to @returns {number} Where two stars may close; below 0 where they do not. */
  _pairFrom(at, to) {
    const place = SPACE.test(this._text[at - 1]) ? at + 1 : at;
    return place + 2 <= to ? place : -1;
  }

  /** @param {string} mark @param {number} at */
  _opens(mark, at) {
    const before = this._text[at - 1] ?? ' ';
    const after = this._text[at + mark.length] ?? ' ';
    return !SPACE.test(after) && (mark === '**' || !(WORD.test(before) || before === '*' || after === '*'));
  }

  /** Whether emphasis does. @param {number} begin @param {number} end */
  _closes(begin, end) {
    if (SPACE.test(this._text[end - 1]) || WORD.test(this._text[end + 1] ?? ' ')) return false;
    return !this._text.slice(begin, end).includes('\n');
  }
}

/** @param {string} mark @param {State} state */
function openerOf(mark, state) {
  let opener = state.opener;
  while (opener && opener.mark !== mark) opener = opener.before;
  return opener;
}

/** @param {State} state @param {string} mark @returns {State} */
function opened(state, mark) {
  const { at, span, opener } = state;
  const after = { ...state, at: at + mark.length };
  if (mark === '*') return { ...after, star: { mark, from: at, span, before: undefined } };
  // The first one is closed first, and what is between is part of its text.
  return openerOf(mark, state) ? after : { ...after, opener: { mark, from: at, span, before: opener } };
}

/** @param {State} state @param {Opener} by @param {number} end @returns {State} Without what was opened after `by`. */
function closed(state, { mark, from, span: before }, end) {
  const to = end + mark.length;
  const kind = mark[0] === '`' ? 'code' : mark === '**' ? 'strong' : 'emphasis';
  const count = (before?.count ?? 0) + 1;
  let { opener, star } = state;
  while (opener && opener.from >= from) opener = opener.before;
  if (star && star.from > from) star = undefined;
  return { at: to, span: { kind, from, begin: from + mark.length, end, to, before, count }, opener, star };
}

/**
 * @param {string} text
 * @returns {{kind: 'text' | Span['kind'], text: string}[]} Texts that are empty are left out.
 */
export function scan(text) {
  const spans = after(undefined, new Spans().read(text));
  /** @type {{kind: 'text' | Span['kind'], text: string}[]} */
  const found = [];
  let at = 0;
  for (const { kind, from, begin, end, to } of spans) {
    found.push({ kind: 'text', text: text.slice(at, from) }, { kind, text: text.slice(begin, end) });
    at = to;
  }
  found.push({ kind: 'text', text: text.slice(at) });
  return found.filter(({ text: words }) => words);
}

/**
 * @param {Span | undefined} first
 * @param {Span | undefined} last
 * @returns {Span[]} The spans of the chain behind the first one, which is part of it, up to the last one.
 */
export function after(first, last) {
  /** @type {Span[]} */
  const spans = [];
  for (let span = last; span && span !== first; span = span.before) spans.push(span);
  return spans.reverse();
}
