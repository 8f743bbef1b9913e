/**
 * The little Markdown that models write: paragraphs, headings, lists, fenced code; code, bold and emphasis in a line.
 *
 * `parse` is pure; `render` makes DOM nodes from what it returns. Text only ever becomes text nodes, so an answer
 * cannot bring markup of its own.
 *
 * @typedef {{indent: number, ordered: boolean, start: number, text: string}} Item
 * @typedef {{kind: 'paragraph', text: string}
 *   | {kind: 'heading', level: number, text: string}
 *   | {kind: 'code', language: string, text: string}
 *   | {kind: 'list', items: Item[]}
 *   | {kind: 'rule'}} Block
 */

import { scan } from './spans.js';

// No mark is looked for by a pattern that could read a line more than once: a line may be a whole answer.
const FENCE = /^(\s*)(`{3,}|~{3,})/;
const HEADING = /^(#{1,6})\s+/;
// In mid-answer the last item may have its mark and no text yet.
const ITEM = /^(\s*)(?:(?:[-*+]|(\d{1,9})[.)])\s+(\S.*)|(?:-|(\d{1,3})[.)])\s*)$/;
const RULE = /^(?:-{3,}|\*{3,}|_{3,})$/;
const BLANKS = /\s+/g;

/**
 * @param {string} source
 * @returns {Block[]}
 */
export function parse(source) {
  /** @type {Block[]} */
  const blocks = [];
  const lines = source.split('\n');
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    const fence = fenceIn(line);
    const heading = HEADING.exec(line);
    if (!line.trim()) {
      at += 1;
    } else if (fence) {
      at = takeCode(lines, at, fence, blocks);
    } else if (heading) {
      const [mark, { length: level }] = heading;
      blocks.push({ kind: 'heading', level, text: withoutEndMark(line.slice(mark.length)) });
      at += 1;
    } else if (isRule(line)) {
      blocks.push({ kind: 'rule' });
      at += 1;
    } else if (ITEM.test(line)) {
      at = takeList(lines, at, blocks);
    } else {
      at = takeParagraph(lines, at, blocks);
    }
  }
  return blocks;
}

/**
 * @typedef {{indent: string, mark: string, language: string}} Fence
 *
 * @param {string} line
 * @returns {Fence | undefined}
 */
function fenceIn(line) {
  const found = FENCE.exec(line);
  const rest = line.slice(found?.[0].length);
  if (!found || rest.includes('`')) return undefined;
  const [language] = rest.trimStart().split(/\s/, 1);
  return { indent: found[1], mark: found[2], language };
}

/** @param {string} text A heading may end with its mark, too. */
function withoutEndMark(text) {
  let end = text.length;
  while (text[end - 1] === '#') end -= 1;
  return text.slice(0, end).trimEnd();
}

/** @param {string} line */
function isRule(line) {
  return /^\s*[-*_]/.test(line) && RULE.test(line.replace(BLANKS, ''));
}

/** @param {string[]} lines @param {number} at @param {Fence} fence @param {Block[]} blocks */
function takeCode(lines, at, { indent, mark, language }, blocks) {
  const code = [];
  for (at += 1; at < lines.length; at += 1) {
    const line = lines[at].startsWith(indent) ? lines[at].slice(indent.length) : lines[at].trimStart();
    if (line.startsWith(mark) && !line.replaceAll(mark[0], '').trim()) {
      at += 1;
      break;
    }
    code.push(line);
  }
  blocks.push({ kind: 'code', language, text: code.join('\n') });
  return at;
}

/** @param {string[]} lines @param {number} at @param {Block[]} blocks */
function takeList(lines, at, blocks) {
  /** @type {Item[]} */
  const items = [];
  for (; at < lines.length; at += 1) {
    const line = lines[at];
    const item = ITEM.exec(line);
    if (item && !isRule(line)) {
      const [, indent, filled, text = '', empty] = item;
      const number = filled ?? empty;
      const ordered = number !== undefined;
      const [first] = items;
      if (first && indent.length < first.indent + 2 && ordered !== first.ordered) break;
      items.push({ indent: indent.length, ordered, start: Number(number ?? 1), text });
    } else if (!line.trim()) {
      if (!ITEM.test(lines[at + 1] ?? '')) break;
    } else if (/^\s/.test(line) && !fenceIn(line) && lines[at - 1].trim()) {
      items[items.length - 1].text += `\n${line.trim()}`;
    } else {
      break;
    }
  }
  blocks.push({ kind: 'list', items });
  return at;
}

/** @param {string[]} lines @param {number} at @param {Block[]} blocks */
function takeParagraph(lines, at, blocks) {
  const begin = at;
  do at += 1;
  while (at < lines.length && lines[at].trim() && !beginsBlock(lines[at]));
  blocks.push({ kind: 'paragraph', text: lines.slice(begin, at).join('\n') });
  return at;
}

/** @param {string} line */
function beginsBlock(line) {
  return Boolean(fenceIn(line)) || HEADING.test(line) || ITEM.test(line) || isRule(line);
}

/**
 * @param {Block} block
 * @returns {HTMLElement}
 */
export function render(block) {
  if (block.kind === 'paragraph') return element('p', spans(block.text));
  // The page's own heading is h1.
  if (block.kind === 'heading') return element(`h${Math.min(block.level + 1, 4)}`, spans(block.text));
  if (block.kind === 'list') return list(block.items);
  if (block.kind === 'rule') return document.createElement('hr');
  return code(block.text);
}

/** @param {string} text */
function code(text) {
  const pre = element('pre', [element('code', [text])]);
  pre.tabIndex = 0;
  const box = element('div', [pre]);
  box.className = 'code';
  // Browsers give the clipboard to secure origins only.
  if (navigator.clipboard) {
    const copy = element('button', ['Copy']);
    copy.className = 'copy';
    copy.setAttribute('type', 'button');
    copy.addEventListener('click', async () => {
      await navigator.clipboard.writeText(text);
      copy.textContent = 'Copied';
    });
    box.append(copy);
  }
  return box;
}

/** @param {Item[]} items Items that are indented deeper than the first belong to the one before them. */
function list(items) {
  const [{ indent, ordered, start }] = items;
  const node = document.createElement(ordered ? 'ol' : 'ul');
  if (node instanceof HTMLOListElement) node.start = start;
  for (let at = 0; at < items.length; ) {
    const item = element('li', spans(items[at].text));
    const begin = (at += 1);
    while (at < items.length && items[at].indent > indent + 1) at += 1;
    if (at > begin) item.append(list(items.slice(begin, at)));
    node.append(item);
  }
  return node;
}

/**
 * @param {string} text
 * @returns {(string | Node)[]}
 */
export function spans(text) {
  return scan(text).map(({ kind, text: words }) => {
    if (kind === 'text') return words;
    if (kind === 'code') return element('code', [words]);
    return kind === 'strong' ? element('strong', spans(words)) : element('em', spans(words));
  });
}

/** @param {string} name @param {(string | Node)[]} children */
export function element(name, children) {
  const node = document.createElement(name);
  node.append(...children);
  return node;
}
