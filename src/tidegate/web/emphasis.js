/**
 * Which marks of bold, emphasis and strike-through belong together, by CommonMark. Pure.
 *
 * @typedef {'strong' | 'emphasis' | 'strike'} Style
 *
 * @typedef {object} Run Marks of one kind, one after the other.
 * @property {'run'} kind
 * @property {string} mark
 * @property {number} from
 * @property {number} to
 * @property {number} length
 * @property {number} left How many of them are text.
 * @property {boolean} mayOpen
 * @property {boolean} mayClose
 * @property {Style[]} closes The innermost first.
 * @property {Style[]} opens The innermost first.
 */

/** Marks further apart do not belong together: so far back, at the most, a text is read again while it grows. */
export const REACH = 8000;

const SPACE = /\s/;
const PUNCTUATION = /[\p{P}\p{S}]/u;

/** In scripts without spaces, `**（注）**文` has to be bold all the same. */
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u;

/** @param {string} text @param {number} from @param {number} to @returns {Run} */
export function runIn(text, from, to) {
  const mark = text[from];
  const before = characterBefore(text, from);
  const after = String.fromCodePoint(text.codePointAt(to) ?? 32);
  const isLeft = !SPACE.test(after) && (!PUNCTUATION.test(after) || isApart(before));
  const isRight = !SPACE.test(before) && (!PUNCTUATION.test(before) || isApart(after));
  const isWord = mark === '_';
  const length = to - from;
  return {
    ...{ kind: 'run', mark, from, to, length, left: length, closes: [], opens: [] },
    mayOpen: isLeft && (!isWord || !isRight || PUNCTUATION.test(before)) && isLongEnough(mark, length),
    mayClose: isRight && (!isWord || !isLeft || PUNCTUATION.test(after)) && isLongEnough(mark, length),
  };
}

/** One tilde is an approximation, more than two are a line. @param {string} mark @param {number} length */
function isLongEnough(mark, length) {
  return mark !== '~' || length === 2;
}

/** @param {string} character */
function isApart(character) {
  return SPACE.test(character) || PUNCTUATION.test(character) || UNSPACED.test(character);
}

/** @param {string} text @param {number} at */
function characterBefore(text, at) {
  if (at === 0) return ' ';
  const isPair = at > 1 && /[\udc00-\udfff]/.test(text[at - 1]);
  return isPair ? text.slice(at - 2, at) : text[at - 1];
}

/**
 * @param {Run[]} runs In the order of the text.
 * @returns {Run[]} Those that are open at its end.
 */
export function pair(runs) {
  /** @type {Run[]} */
  const open = [];
  /** @type {Map<string, number>} By what closes: runs before that place do not open it. */
  const searched = new Map();
  for (const run of runs) {
    while (run.mayClose && run.left > 0 && closeWith(run, open, searched));
    if (run.mayOpen && run.left > 0) open.push(run);
  }
  return open;
}

/** @param {Run} closer @param {Run[]} open @param {Map<string, number>} searched */
function closeWith(closer, open, searched) {
  const key = `${closer.mark}${closer.mayOpen}${closer.length % 3}`;
  const from = Math.max(searched.get(key) ?? 0, closer.from - REACH);
  let at = open.length - 1;
  while (at >= 0 && open[at].from >= from && !fits(open[at], closer)) at -= 1;
  if (at < 0 || open[at].from < from) {
    searched.set(key, closer.from);
    return false;
  }
  const opener = open[at];
  const count = opener.left > 1 && closer.left > 1 ? 2 : 1;
  const style = closer.mark === '~' ? 'strike' : count === 2 ? 'strong' : 'emphasis';
  opener.opens.push(style);
  closer.closes.push(style);
  opener.left -= count;
  closer.left -= count;
  open.length = opener.left ? at + 1 : at;
  return true;
}

/** @param {Run} opener @param {Run} closer */
function fits(opener, closer) {
  if (opener.mark !== closer.mark) return false;
  const isEither = opener.mayClose || closer.mayOpen;
  const isThree = (opener.length + closer.length) % 3 === 0;
  return !isEither || !isThree || (opener.length % 3 === 0 && closer.length % 3 === 0);
}
