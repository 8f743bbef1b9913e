/**
 * What a line of Markdown begins with. Pure.
 *
 * Each of them is asked about a line's words: without its blanks at the beginning, which are fewer than make it code.
 *
 * @typedef {{mark: string, language: string}} Fence
 * @typedef {{type: string, start: number, width: number, isEmpty: boolean}} Mark Of an item. Only items of one type are in
 * one list; `width` is that of the mark, without the blanks behind it.
 * @typedef {'' | 'left' | 'center' | 'right'} Align
 */

import { LONG } from './line.js';

const FENCE = /^(`{3,}|~{3,})([^]*)$/;
const HEADING = /^(#{1,6})(?:[ \t]+|$)/;
const ITEM = /^(?:[-*+]|(\d{1,9})[.)])(?=[ \t]|$)/;
const RULE = /^([-*_])[ \t]*(?:\1[ \t]*){2,}$/;
const UNDERLINE = /^(?:={2,}|-{3,})[ \t]*$/;
const DELIMITER = /^[ \t]*(:?)-+(:?)[ \t]*$/;
const ROW_MARKS = /^[|:\- \t]*$/;

/** Wider tables than that are text: what no page can show need not be laid out. */
const MOST_COLUMNS = 100;

/** What may become something else with what follows on the line. */
const UNDECIDED = new RegExp(
  ['', '#{1,6}', '`{1,2}|`{3,}[^`]*|~{1,2}|~{3,}[^]*', '([-*_])[ \\t]*(?:\\1[ \\t]*)*', '\\+[ \\t]*', '\\d{1,9}(?:[.)][ \\t]*)?']
    .map((beginning) => `^(?:${beginning})$`)
    .join('|'),
);
const UNDECIDED_UNDER_TEXT = /^(?:=+[ \t]*|[|:\- \t]*)$/;
const UNDECIDED_IN_ITEM = /^\[(?:[ xX](?:\]\s*)?)?$/;

/** @param {string} words @param {{isUnderText: boolean, isFirstOfItem: boolean}} place */
export function isUndecided(words, { isUnderText, isFirstOfItem }) {
  if (words.length > LONG) return false;
  if (isUnderText && UNDECIDED_UNDER_TEXT.test(words)) return true;
  return UNDECIDED.test(words) || (isFirstOfItem && UNDECIDED_IN_ITEM.test(words));
}

/** @param {string} words @returns {Fence | undefined} */
export function fenceIn(words) {
  const found = words.length > LONG ? null : FENCE.exec(words);
  if (!found || (found[1][0] === '`' && found[2].includes('`'))) return undefined;
  const [language] = found[2].trim().split(/\s/, 1);
  return { mark: found[1], language };
}

/** @param {string} words @param {string} mark Of the code that it may close. */
export function isFenceEnd(words, mark) {
  return words.length <= LONG && words.startsWith(mark) && isOnly(mark[0], words);
}

/** @param {string} words @param {string} mark Whether they are, or may become, the end of code. */
export function mayEndFence(words, mark) {
  return words.length <= LONG && isOnly(mark[0], words);
}

/** @param {string} words @returns {{level: number, width: number} | undefined} Its mark is so wide. */
export function headingIn(words) {
  const found = HEADING.exec(words.slice(0, LONG));
  return found ? { level: found[1].length, width: found[0].length } : undefined;
}

/** @param {string} text A heading may end with its mark, too. */
export function headingText(text) {
  const words = text.trim();
  let end = words.length;
  while (words[end - 1] === '#') end -= 1;
  return end === 0 || /\s/.test(words[end - 1]) ? words.slice(0, end).trimEnd() : words;
}

/** @param {string} words @returns {Mark | undefined} */
export function itemIn(words) {
  const found = ITEM.exec(words.slice(0, LONG));
  if (!found) return undefined;
  const [mark, number] = found;
  const isEmpty = words.length <= LONG && !words.slice(mark.length).trim();
  return { type: mark[mark.length - 1], start: Number(number ?? 1), width: mark.length, isEmpty };
}

/** @param {string} words */
export function isRule(words) {
  return words.length <= LONG && RULE.test(words);
}

/** @param {string} words @returns {1 | 2 | undefined} The level of the heading that the text above is. */
export function underlineIn(words) {
  if (words.length > LONG || !UNDERLINE.test(words)) return undefined;
  return words[0] === '=' ? 1 : 2;
}

/** @param {string} words @returns {Align[] | undefined} Of the columns, where it is the row below a table's head. */
export function delimiterIn(words) {
  if (words.length > LONG || !words.includes('|') || !ROW_MARKS.test(words)) return undefined;
  const cells = words.replace(/^\|/, '').replace(/\|[ \t]*$/, '').split('|');
  const found = cells.map((cell) => DELIMITER.exec(cell));
  if (cells.length > MOST_COLUMNS || !found.every(Boolean)) return undefined;
  return found.map((cell) => alignOf(cell?.[1], cell?.[2]));
}

/** @param {string | undefined} left @param {string | undefined} right @returns {Align} */
function alignOf(left, right) {
  if (left && right) return 'center';
  if (right) return 'right';
  return left ? 'left' : '';
}

/** @param {string} mark @param {string} words Whether there is nothing else but blanks in them. */
function isOnly(mark, words) {
  return !words.replaceAll(mark, '').trim();
}
