/** What a listener hears of a block: its words, parted as they are on the page, and no button's. */

const LINES = new Set(['TR', 'LI', 'P', 'PRE', 'H2', 'H3', 'H4', 'H5', 'H6']);

/** @param {Node} node @returns {string} */
export function spoken(node) {
  if (!(node instanceof HTMLElement)) return node.textContent ?? '';
  if (node.classList.contains('code-head')) return '';
  if (node.tagName === 'PRE') return `${node.getAttribute('aria-label')}:\n${node.textContent}\n`;
  const words = [...node.childNodes].map(spoken).join(node.tagName === 'TR' ? ', ' : '');
  return LINES.has(node.tagName) && !words.endsWith('\n') ? `${words}\n` : words;
}
