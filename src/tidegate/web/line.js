/** One line of Markdown, read from its beginning: blanks are counted in columns, of which a tab fills up to four. */

/**
 * What takes a whole line to be known, as a rule or the row under a table's head, is looked for in lines of up to so many
 * characters. A longer one is text, and need not be read again with each piece of it.
 */
export const LONG = 1000;

export class Line {
  /** @param {string} text */
  constructor(text) {
    this._text = text;
    this._at = 0;
    this._column = 0;
    /** Columns of a tab that are left, where the others belong to a mark. */
    this._pad = 0;
  }

  get isLong() {
    return this._text.length > LONG;
  }

  get isBlank() {
    return !this.isLong && !this._text.slice(this._at).trim();
  }

  /** How many columns of blanks come next. */
  get indent() {
    let column = this._column + this._pad;
    for (let at = this._at; at < LONG; at += 1) {
      if (this._text[at] === '\t') column += 4 - (column % 4);
      else if (this._text[at] === ' ') column += 1;
      else break;
    }
    return column - this._column;
  }

  /** What has not been taken yet. */
  get rest() {
    return ' '.repeat(this._pad) + this._text.slice(this._at);
  }

  /** What comes behind the blanks. */
  get words() {
    let at = this._at;
    while (at < LONG && (this._text[at] === ' ' || this._text[at] === '\t')) at += 1;
    return this._text.slice(at);
  }

  /** @param {number} columns Of blanks, as many as there are at the most. */
  skip(columns) {
    const to = this._column + columns;
    while (this._column < to) {
      if (this._pad) {
        this._pad -= 1;
      } else if (this._text[this._at] === '\t') {
        this._pad = 3 - (this._column % 4);
        this._at += 1;
      } else if (this._text[this._at] === ' ') {
        this._at += 1;
      } else {
        return;
      }
      this._column += 1;
    }
  }

  /** @param {number} count Of characters that are no blanks, behind those that come next. */
  take(count) {
    this.skip(this.indent);
    this._at += count;
    this._column += count;
  }
}
