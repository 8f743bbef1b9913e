/**
 * What stands within a line of Markdown: code, bold, emphasis, and the text between them. Pure.
 *
 * It is read from left to right, and nothing is looked at more often than a fixed number of times: a line is one
 * message of somebody in a room, or one answer, and may be as long as that.
 *
 * @typedef {{kind: 'text' | 'code' | 'strong' | 'emphasis', text: string}} Span
 */

const MARK = /`+|\*\*|\*/g;
const SPACE = /\s/;
const WORD = /\w/;

/**
 * @param {string} text
 * @returns {Span[]} Texts that are empty are left out.
 */
export function scan(text) {
  /** @type {Span[]} */
  const spans = [];
  const closers = new Closers(text);
  let at = 0;
  const mark = new RegExp(MARK);
  for (let found = mark.exec(text); found; found = mark.exec(text)) {
    const [opener] = found;
    const begin = found.index + opener.length;
    const end = closers.of(opener, found.index);
    if (end < 0) continue;
    if (found.index > at) spans.push({ kind: 'text', text: text.slice(at, found.index) });
    spans.push({ kind: kindOf(opener), text: text.slice(begin, end) });
    at = mark.lastIndex = end + opener.length;
  }
  if (at < text.length) spans.push({ kind: 'text', text: text.slice(at) });
  return spans;
}

/** @param {string} opener */
function kindOf(opener) {
  if (opener[0] === '`') return 'code';
  return opener === '**' ? 'strong' : 'emphasis';
}

/** Where what was opened is closed. It is asked from left to right, so that each mark is passed but once. */
class Closers {
  /** @param {string} text */
  constructor(text) {
    this._text = text;
    /** @type {Map<string, number[]>} The places of each mark that may close, the first one last. */
    this._places = new Map();
    for (const { 0: run, index } of text.matchAll(/`+|\*+/g)) {
      if (run[0] === '`') this._add(run, index);
      else this._addStars(run.length, index);
    }
    for (const places of this._places.values()) places.reverse();
  }

  /**
   * @param {string} opener
   * @param {number} at Where it stands.
   * @returns {number} Where the mark stands that closes it; below 0 where it opens nothing.
   */
  of(opener, at) {
    const begin = at + opener.length;
    if (opener[0] !== '`' && !this._opens(opener, at)) return -1;
    const places = this._places.get(opener) ?? [];
    // An opener is no closer of its own, and something stands between them.
    while (places.length && places[places.length - 1] <= begin) places.pop();
    const end = places.at(-1) ?? -1;
    return opener === '*' && !this._closes(begin, end) ? -1 : end;
  }

  /** @param {string} opener @param {number} at */
  _opens(opener, at) {
    const before = this._text[at - 1] ?? ' ';
    const after = this._text[at + opener.length] ?? ' ';
    return !SPACE.test(after) && (opener === '**' || !(WORD.test(before) || before === '*' || after === '*'));
  }

  /** Emphasis ends at the very next star, or not at all: so it is read once. @param {number} begin @param {number} end */
  _closes(begin, end) {
    if (end < 0 || SPACE.test(this._text[end - 1]) || WORD.test(this._text[end + 1] ?? ' ')) return false;
    return !this._text.slice(begin, end).includes('\n');
  }

  /** @param {number} length @param {number} at */
  _addStars(length, at) {
    for (let star = at; star < at + length; star += 1) this._add('*', star);
    for (let pair = at; pair < at + length - 1; pair += 1) {
      if (!SPACE.test(this._text[pair - 1] ?? ' ')) this._add('**', pair);
    }
  }

  /** @param {string} mark @param {number} at */
  _add(mark, at) {
    const places = this._places.get(mark);
    if (places) places.push(at);
    else this._places.set(mark, [at]);
  }
}
