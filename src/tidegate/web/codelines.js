/**
 * The lines of a block of code, fenced or indented, as they stand in it. Pure.
 *
 * @typedef {object} CodeState Of a block that is open.
 * @property {string} mark Of its fence; none where it is indented.
 * @property {number} indent So many blanks before a line are none of it.
 * @property {boolean} isFirst Whether the next line is its first.
 * @property {string} blanks Lines without text, which belong to it if another one follows.
 */

import { isFenceEnd } from './marks.js';
import { CODE_INDENT } from './nesting.js';

/** @param {string} mark @param {number} indent @returns {CodeState} */
export function codeState(mark, indent) {
  return { mark, indent, isFirst: true, blanks: '' };
}

/**
 * @param {CodeState} state
 * @param {import('./line.js').Line} line
 * @returns {{text: string, state: CodeState} | 'end' | undefined} What the line adds to it; nothing where it is none of it.
 */
export function codeIn(state, line) {
  const { mark, indent, isFirst, blanks } = state;
  const isShallow = line.indent < CODE_INDENT;
  if (mark && isShallow && isFenceEnd(line.words, mark)) return 'end';
  if (!mark && isShallow && !line.isBlank) return undefined;
  line.skip(indent);
  if (!mark && line.isBlank) return { text: '', state: { ...state, blanks: `${blanks}\n${line.rest}` } };
  return { text: isFirst ? line.rest : `${blanks}\n${line.rest}`, state: { ...state, isFirst: false, blanks: '' } };
}
