/**
 * An answer's Markdown as nodes, while it grows. Text only ever becomes text nodes, so an answer cannot bring markup of
 * its own.
 */

import { Blocks } from './blocks.js';
import { viewOf } from './containers.js';
import { inert } from './inert.js';
import { spoken } from './spoken.js';
import { Views } from './views.js';

export class Markdown {
  /** @param {HTMLElement} node Empty. */
  constructor(node) {
    this._node = node;
    this._text = '';
    this._blocks = new Blocks();
    this._views = new Views(node, viewOf);
  }

  /** How many blocks there are. */
  get count() {
    return this._views.count;
  }

  /** How many blocks stay as they are, whatever follows. */
  get closed() {
    return this._blocks.closed;
  }

  /**
   * What a listener hears of a block.
   *
   * @param {number} index
   */
  textOf(index) {
    return spoken(this._views.nodeOf(index)).trim();
  }

  /**
   * Brings the nodes up to the text. What has not changed keeps its nodes, and so a selection in them; blocks that were
   * closed are not even looked at.
   *
   * @param {string} text The text before with more at its end; or another one, which is shown anew.
   */
  show(text) {
    if (!text.startsWith(this._text)) this._clear();
    this._blocks.push(inert(text.slice(this._text.length)));
    this._text = text;
    this._views.show(this._blocks.all);
  }

  _clear() {
    this._node.replaceChildren();
    this._text = '';
    this._blocks = new Blocks();
    this._views = new Views(this._node, viewOf);
  }
}
