/**
 * An answer's Markdown as nodes, while it grows. Text only ever becomes text nodes, so an answer cannot bring markup of
 * its own.
 *
 * @typedef {import('./blocks.js').Block} Block
 * @typedef {import('./blocks.js').Code} Code
 *
 * @typedef {{block: Block, node: HTMLElement, update: () => void}} BlockView One block's nodes; `update` brings them up to it.
 */

import { Blocks } from './blocks.js';
import { element, Inline } from './inline.js';
import { ListView } from './list.js';
import { GrowingText } from './text.js';

export class Markdown {
  /** @param {HTMLElement} node Empty. */
  constructor(node) {
    this._node = node;
    this._clear();
  }

  /** How many blocks there are. */
  get count() {
    return this._views.length;
  }

  /** How many blocks stay as they are, whatever follows. */
  get closed() {
    return this._closed;
  }

  /**
   * Brings the nodes up to the text. What has not changed keeps its nodes, and so a selection in them; blocks that were
   * closed are not even looked at.
   *
   * @param {string} text The text before with more at its end; or another one, which is shown anew.
   */
  show(text) {
    if (!text.startsWith(this._text)) this._clear();
    this._blocks.push(text.slice(this._text.length));
    this._text = text;
    const { all, closed } = this._blocks;
    let same = this._closed;
    while (same < this._views.length && this._views[same].block === all[same]) same += 1;
    for (const { node } of this._views.splice(same)) node.remove();
    for (const view of this._views.slice(this._closed)) view.update();
    for (const block of all.slice(same)) this._add(block);
    this._closed = closed;
  }

  _clear() {
    this._node.replaceChildren();
    this._blocks = new Blocks();
    this._text = '';
    /** @type {BlockView[]} */
    this._views = [];
    this._closed = 0;
  }

  /** @param {Block} block */
  _add(block) {
    const view = viewOf(block);
    this._views.push(view);
    view.update();
    this._node.append(view.node);
  }
}

/** @param {Block} block @returns {BlockView} */
function viewOf(block) {
  if (block.kind === 'list') return new ListView(block);
  if (block.kind === 'code') return new CodeView(block);
  if (block.kind === 'rule') return { block, node: document.createElement('hr'), update: () => {} };
  // The page's own heading is h1.
  const node = document.createElement(block.kind === 'paragraph' ? 'p' : `h${Math.min(block.level + 1, 4)}`);
  const inline = new Inline(node);
  return { block, node, update: () => inline.show(block.text) };
}

class CodeView {
  /** @param {Code} block */
  constructor(block) {
    this.block = block;
    const code = document.createElement('code');
    this._text = new GrowingText(code);
    const pre = element('pre', [code]);
    pre.tabIndex = 0;
    this.node = element('div', [pre]);
    this.node.className = 'code';
    // Browsers give the clipboard to secure origins only.
    if (navigator.clipboard) this.node.append(copyButton(block));
  }

  /** Its text has grown at the end, or the last line was none of it. */
  update() {
    this._text.show(this.block.text);
  }
}

/** @param {Code} block */
function copyButton(block) {
  const copy = element('button', ['Copy']);
  copy.className = 'copy';
  copy.setAttribute('type', 'button');
  copy.addEventListener('click', async () => {
    await navigator.clipboard.writeText(block.text);
    copy.textContent = 'Copied';
  });
  return copy;
}
