/**
 * A row of a table, which may grow at its end. Pure. Each of its characters is looked at once.
 *
 * @typedef {{text: string}} Cell
 */

const BAR = /\\[^]|\|/g;

export class Row {
  /** @param {number} most So many cells; what else is written in the row is left out. */
  constructor(most) {
    /** @type {Cell[]} */
    this.cells = [];
    this._most = most;
    /** What the last cell is written as, and how much of that has been looked at. */
    this._source = '';
    this._read = 0;
    /** How many cells are whole. */
    this._whole = 0;
    this._isBegun = false;
  }

  /** @param {string} piece */
  grow(piece) {
    this._source += piece;
    BAR.lastIndex = this._read;
    let end = this._read;
    for (let found = BAR.exec(this._source); found; found = BAR.exec(this._source)) {
      end = BAR.lastIndex;
      if (found[0] !== '|') continue;
      this._end(found.index);
      BAR.lastIndex = end = 0;
    }
    const isHalf = this._source.length > end && this._source.endsWith('\\');
    this._read = this._source.length - (isHalf ? 1 : 0);
    if (this._source.trim()) this._show(this._source);
  }

  /** @param {number} at Where the last cell's source ends. */
  _end(at) {
    const source = this._source.slice(0, at);
    // A bar in front of the first cell ends none.
    if (this._isBegun || source.trim()) {
      this._show(source);
      this._whole += 1;
    }
    this._isBegun = true;
    this._source = this._source.slice(at + 1);
  }

  /** @param {string} source */
  _show(source) {
    if (this._whole >= this._most) return;
    const text = source.trim().replaceAll('\\|', '|');
    if (this._whole < this.cells.length) this.cells[this._whole].text = text;
    else this.cells.push({ text });
  }
}

/** @param {string} line */
export function rowIn(line, most = Infinity) {
  const row = new Row(most);
  row.grow(line);
  return row;
}
