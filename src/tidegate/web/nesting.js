/**
 * Containers of blocks: quotes, lists and their items. Whether a line belongs to one, and what is inside of it. Pure.
 *
 * @typedef {import('./kinds.js').Block} Block
 * @typedef {import('./kinds.js').Container} Container
 * @typedef {import('./kinds.js').Item} Item
 * @typedef {import('./line.js').Line} Line
 */

import { itemIn } from './marks.js';

/** Where so many columns of blanks come first, it is code. */
export const CODE_INDENT = 4;

/** @param {Line} line */
export function goesOnQuote(line) {
  if (line.indent >= CODE_INDENT || line.words[0] !== '>') return false;
  line.take(1);
  line.skip(1);
  return true;
}

/**
 * Models indent what is inside of an item less than they should: two columns are enough for another item.
 *
 * @param {Line} line
 * @param {Item} item
 * @param {number} before How far the item's mark is indented.
 * @param {number} indent How far its text is.
 */
export function goesOnItem(line, { children }, before, indent) {
  const goesOn = line.isBlank
    ? children.length > 0
    : line.indent >= indent || (line.indent >= before + 2 && itemIn(line.words) !== undefined);
  if (goesOn) line.skip(indent);
  return goesOn;
}

/** @param {Container} block */
export function stateOf(block) {
  const { length } = block.children;
  return { count: length, last: block.children[length - 1], isLoose: block.kind === 'list' && block.isLoose };
}

/** @param {Container} block @param {number} count @param {Block | Item | undefined} last @param {boolean} isLoose */
export function restore(block, count, last, isLoose) {
  block.children.length = count;
  if (last) /** @type {(Block | Item)[]} */ (block.children)[count - 1] = last;
  if (block.kind === 'list') block.isLoose = isLoose;
}

/** @param {Container['children']} children @param {Block | Item} block Of the kind that they are. */
export function push(children, block) {
  /** @type {(Block | Item)[]} */ (children).push(block);
}
