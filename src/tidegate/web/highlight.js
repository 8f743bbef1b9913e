/**
 * Comments, strings, numbers and keywords in a line of code. Pure. Each character is looked at a fixed number of times.
 *
 * @typedef {'comment' | 'string' | 'number' | 'keyword'} Kind
 * @typedef {{kind: Kind | '', text: string}} Token
 * @typedef {{begin: string, end: string, kind: Kind}} Span What may go on over several lines.
 * @typedef {Span | undefined} Within
 *
 * @typedef {object} Language
 * @property {Span[]} spans
 * @property {RegExp} pattern What begins a token, by the names of the kinds; `span` begins what may go on over lines, and a
 * `word` is a keyword if it is one of them.
 * @property {(word: string) => boolean} isKeyword
 */

/** A longer line is no code that anybody reads. */
const LONGEST = 2000;

/**
 * @param {string} line With its line break, where it has one.
 * @param {Language} language
 * @param {Within} within What it stands in.
 * @returns {{tokens: Token[], within: Within}} And what the next line stands in.
 */
export function highlighted(line, language, within) {
  if (line.length > LONGEST) return { tokens: [{ kind: '', text: line }], within };
  /** @type {Token[]} */
  const tokens = [];
  let at = 0;
  const take = (/** @type {Kind | ''} */ kind, /** @type {number} */ to) => {
    if (to > at) tokens.push({ kind, text: line.slice(at, to) });
    at = to;
  };
  for (let span = within, begun = 0; ; begun = span.begin.length) {
    if (span) {
      const to = endOf(span, line, at + begun);
      take(span.kind, to < 0 ? line.length : to);
      if (to < 0) return { tokens, within: span };
    }
    span = readTo(line, at, language, take);
    if (!span) return { tokens, within: undefined };
  }
}

/**
 * @param {string} line
 * @param {number} at
 * @param {Language} language
 * @param {(kind: Kind | '', to: number) => void} take
 * @returns {Within} What has begun behind what was taken.
 */
function readTo(line, at, { pattern, spans, isKeyword }, take) {
  pattern.lastIndex = at;
  for (let found = pattern.exec(line); found; found = pattern.exec(line)) {
    const { groups = {}, index } = found;
    const kind = kindOf(groups, isKeyword);
    const to = pattern.lastIndex;
    if (kind || groups.span) take('', index);
    if (kind) take(kind, to);
    if (groups.span) return spans.find(({ begin }) => begin === groups.span);
  }
  take('', line.length);
  return undefined;
}

/** @param {Record<string, string | undefined>} groups @param {(word: string) => boolean} isKeyword @returns {Kind | ''} */
function kindOf({ comment, string, number, keyword, word }, isKeyword) {
  if (comment) return 'comment';
  if (string) return 'string';
  if (number) return 'number';
  return keyword || (word && isKeyword(word)) ? 'keyword' : '';
}

/** @param {Span} span @param {string} line @param {number} from @returns {number} Behind it; below 0 where it goes on. */
function endOf({ end, kind }, line, from) {
  for (;;) {
    const found = line.indexOf(end, from);
    if (found < 0) return -1;
    if (kind !== 'string' || !isEscaped(line, found, from)) return found + end.length;
    from = found + 1;
  }
}

/** @param {string} line @param {number} at @param {number} from */
function isEscaped(line, at, from) {
  let count = 0;
  while (at - count > from && line[at - count - 1] === '\\') count += 1;
  return count % 2 === 1;
}
