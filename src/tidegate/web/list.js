/** A list with its lists inside, as nodes, while it grows at its end. */

import { Inline } from './inline.js';

/**
 * @typedef {import('./blocks.js').Item} Item
 *
 * @typedef {{node: HTMLElement, indent: number, above: Level | undefined}} Level A list, and the one around it.
 */

export class ListView {
  /** @param {import('./blocks.js').List} block */
  constructor(block) {
    this.block = block;
    /** @type {{item: Item, node: HTMLElement, level: Level, inline: Inline}[]} The items on the page. */
    this._entries = [];
    this._root = levelOf(block.items[0], undefined);
    this.node = this._root.node;
  }

  /** Items but the last are whole. */
  update() {
    const { items } = this.block;
    // The last one may not have been an item after all, or another one.
    while (this._entries.length && this._entries.at(-1)?.item !== items[this._entries.length - 1]) this._removeLast();
    const last = this._entries.at(-1);
    last?.inline.show(last.item.text);
    for (const item of items.slice(this._entries.length)) this._add(item);
  }

  /** @param {Item} item One that is indented deeper than the first of its list belongs to the one before it. */
  _add(item) {
    const before = this._entries.at(-1);
    let level = before?.level ?? this._root;
    while (level.above && item.indent <= level.above.indent + 1) level = level.above;
    if (before && item.indent > level.indent + 1) {
      level = levelOf(item, level);
      before.node.append(level.node);
    }
    const node = document.createElement('li');
    const inline = new Inline(node);
    inline.show(item.text);
    level.node.append(node);
    this._entries.push({ item, node, level, inline });
  }

  _removeLast() {
    const entry = this._entries.pop();
    entry?.node.remove();
    if (entry?.level.above && !entry.level.node.firstChild) entry.level.node.remove();
  }
}

/** @param {Item} first @param {Level | undefined} above @returns {Level} */
function levelOf({ ordered, start, indent }, above) {
  const node = document.createElement(ordered ? 'ol' : 'ul');
  if (node instanceof HTMLOListElement) node.start = start;
  return { node, indent, above };
}
