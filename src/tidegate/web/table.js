/** A table as nodes, while it grows at its end. Where it is wider than its place, it is moved sideways in it. */

import { Inline } from './inline.js';
import { t } from './language.js';
import { Views } from './views.js';

/**
 * @typedef {import('./row.js').Cell} Cell
 * @typedef {import('./row.js').Row} Row
 * @typedef {import('./marks.js').Align} Align
 */

export class TableView {
  /** @param {import('./kinds.js').Table} block */
  constructor(block) {
    this.of = block;
    const table = document.createElement('table');
    this._head = new Views(table.createTHead(), rowViews('th', block.aligns));
    this._body = new Views(table.createTBody(), rowViews('td', block.aligns));
    this.node = document.createElement('div');
    this.node.className = 'table';
    // Who has no mouse moves it with the arrow keys.
    this.node.tabIndex = 0;
    this.node.setAttribute('role', 'group');
    this.node.setAttribute('aria-label', t('Table'));
    this.node.append(table);
  }

  update() {
    this._head.show(this.of.rows.slice(0, 1));
    this._body.show(this.of.rows.slice(1));
  }
}

/** @param {'th' | 'td'} name @param {Align[]} aligns */
function rowViews(name, aligns) {
  return (/** @type {Row} */ row) => {
    const node = document.createElement('tr');
    const cells = new Views(node, (/** @type {Cell} */ cell) => cellView(name, cell, aligns[node.children.length]));
    return { of: row, node, update: () => cells.show(row.cells) };
  };
}

/** @param {'th' | 'td'} name @param {Cell} cell @param {Align} align */
function cellView(name, cell, align) {
  const node = document.createElement(name);
  if (name === 'th') node.scope = 'col';
  if (align) node.className = align;
  node.dir = 'auto';
  const inline = new Inline(node);
  return { of: cell, node, update: () => inline.show(cell.text) };
}
