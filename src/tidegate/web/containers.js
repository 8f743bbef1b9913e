/**
 * The blocks of an answer as nodes, those that others are inside of among them.
 *
 * @typedef {import('./kinds.js').Block} Block
 */

import { CodeView } from './code.js';
import { Inline } from './inline.js';
import { t } from './language.js';
import { TableView } from './table.js';
import { Views } from './views.js';

/** @param {Block} block @returns {import('./views.js').View<Block>} */
export function viewOf(block) {
  if (block.kind === 'code') return new CodeView(block);
  if (block.kind === 'list') return new ListView(block);
  if (block.kind === 'quote') return new QuoteView(block);
  if (block.kind === 'table') return new TableView(block);
  if (block.kind === 'rule') return { of: block, node: document.createElement('hr'), update: () => {} };
  // The page's own heading is h1.
  const node = document.createElement(block.kind === 'paragraph' ? 'p' : `h${Math.min(block.level + 1, 6)}`);
  node.dir = 'auto';
  const inline = new Inline(node);
  return { of: block, node, update: () => inline.show(block.text) };
}

class QuoteView {
  /** @param {import('./kinds.js').Quote} block */
  constructor(block) {
    this.of = block;
    this.node = document.createElement('blockquote');
    this._views = new Views(this.node, viewOf);
  }

  update() {
    this._views.show(this.of.children);
  }
}

class ListView {
  /** @param {import('./kinds.js').List} block */
  constructor(block) {
    this.of = block;
    this.node = document.createElement(block.isOrdered ? 'ol' : 'ul');
    if (this.node instanceof HTMLOListElement && block.start !== 1) this.node.start = block.start;
    this._views = new Views(this.node, (/** @type {import('./kinds.js').Item} */ item) => new ItemView(item));
  }

  update() {
    if (this.of.isLoose) this.node.className = 'loose';
    else this.node.removeAttribute('class');
    this._views.show(this.of.children);
  }
}

class ItemView {
  /** @param {import('./kinds.js').Item} item */
  constructor(item) {
    this.of = item;
    this.node = document.createElement('li');
    if (item.isDone !== undefined) this.node.append(taskBox(item.isDone));
    this._views = new Views(this.node, viewOf);
  }

  update() {
    this._views.show(this.of.children);
  }
}

/** @param {boolean} isDone */
function taskBox(isDone) {
  const box = document.createElement('input');
  box.type = 'checkbox';
  box.disabled = true;
  box.defaultChecked = isDone;
  box.setAttribute('aria-label', isDone ? t('Done') : t('To do'));
  return box;
}
