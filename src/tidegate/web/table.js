/** A table as nodes, while it grows at its end. Where it is wider than its place, it is moved sideways in it. */

import { Inline } from './inline.js';
import { t } from './language.js';
import { make } from './nodes.js';
import { Views } from './views.js';

/**
 * @typedef {import('./row.js').Cell} Cell
 * @typedef {import('./row.js').Row} Row
 * @typedef {import('./marks.js').Align} Align
 */

/**
 * A browser looks at all rows of a table when one is added. So many rows are one for it, and those behind them are others,
 * whose columns are as wide as its own; for who listens, all of them are one.
 */
const MOST_ROWS = 100;

export class TableView {
  /** @param {import('./kinds.js').Table} block */
  constructor(block) {
    this.of = block;
    this._rows = make('div', 'rows');
    this._rows.setAttribute('role', 'table');
    this._first = tableIn(this._rows);
    this._head = new Views(this._first.createTHead(), rowViews('th', block.aligns));
    /** Those of the parts. */
    this._bodies = [this._first.createTBody()];
    this._views = new Views({ append: (row) => this._append(row) }, rowViews('td', block.aligns));
    this.node = make('div', 'table', this._rows);
    // Who has no mouse moves it with the arrow keys.
    this.node.tabIndex = 0;
    this.node.setAttribute('role', 'group');
    this.node.setAttribute('aria-label', t('Table'));
    /** @type {number[]} Of the first part's columns, in pixels. */
    this._widths = [];
    this._sizes = new ResizeObserver(() => this._align());
  }

  update() {
    this._head.show(this.of.rows.slice(0, 1));
    this._views.show(this.of.rows.slice(1));
    // A line that was a row has become something else.
    if (this._bodies.length > 1 && !this._last.rows.length) this._bodies.pop()?.closest('.more')?.remove();
  }

  get _last() {
    return this._bodies[this._bodies.length - 1];
  }

  /** @param {HTMLElement} row */
  _append(row) {
    if (this._last.rows.length === MOST_ROWS) this._addPart();
    this._last.append(row);
  }

  _addPart() {
    this._sizes.observe(this._first);
    const part = make('div', 'more');
    const table = tableIn(part);
    table.append(make('colgroup', '', ...this.of.aligns.map((_, at) => columnOf(this._widths[at]))));
    this._bodies.push(table.createTBody());
    this._rows.append(part);
  }

  /** The first part has another size. */
  _align() {
    this._widths = [...this._first.rows[0].cells].map((cell) => cell.getBoundingClientRect().width);
    for (const group of this._rows.querySelectorAll('colgroup')) group.replaceChildren(...this._widths.map(columnOf));
  }
}

/** @param {HTMLElement} parent */
function tableIn(parent) {
  const table = document.createElement('table');
  table.setAttribute('role', 'none');
  parent.append(table);
  return table;
}

/** @param {number} [width] */
function columnOf(width) {
  const column = document.createElement('col');
  if (width) column.style.width = `${width}px`;
  return column;
}

/** @param {'th' | 'td'} name @param {Align[]} aligns */
function rowViews(name, aligns) {
  return (/** @type {Row} */ row) => {
    const node = document.createElement('tr');
    node.setAttribute('role', 'row');
    const cells = new Views(node, (/** @type {Cell} */ cell) => cellView(name, cell, aligns[node.children.length]));
    return { of: row, node, update: () => cells.show(row.cells) };
  };
}

/** @param {'th' | 'td'} name @param {Cell} cell @param {Align} align */
function cellView(name, cell, align) {
  const node = document.createElement(name);
  node.setAttribute('role', name === 'th' ? 'columnheader' : 'cell');
  if (name === 'th') node.scope = 'col';
  if (align) node.className = align;
  node.dir = 'auto';
  const inline = new Inline(node);
  return { of: cell, node, update: () => inline.show(cell.text) };
}
