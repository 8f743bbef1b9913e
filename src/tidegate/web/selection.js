/** What a reader has selected, while nodes are made anew whose text stays. */

/** @typedef {{isInside: boolean, at: Node, offset: number}} End Of a selection; inside, `offset` counts all of the text. */

/**
 * @param {HTMLElement} node
 * @param {() => void} change Of its nodes, not of its text.
 */
export function keepSelection(node, change) {
  const selection = getSelection();
  const { anchorNode: anchor, focusNode: focus, anchorOffset = 0, focusOffset = 0 } = selection ?? {};
  const begin = anchor && endIn(node, anchor, anchorOffset);
  const end = focus && endIn(node, focus, focusOffset);
  change();
  if (begin && end && (begin.isInside || end.isInside)) selection?.setBaseAndExtent(...placeOf(begin), ...placeOf(end));
}

/** @param {HTMLElement} node @param {Node} at @param {number} offset @returns {End} */
function endIn(node, at, offset) {
  if (!node.contains(at)) return { isInside: false, at, offset };
  const before = document.createRange();
  before.setStart(node, 0);
  before.setEnd(at, offset);
  return { isInside: true, at: node, offset: before.toString().length };
}

/** @param {End} end @returns {[Node, number]} */
function placeOf({ isInside, at, offset }) {
  if (!isInside) return [at, offset];
  const texts = document.createTreeWalker(at, NodeFilter.SHOW_TEXT);
  for (let text = texts.nextNode(); text; text = texts.nextNode()) {
    const { length } = text.textContent ?? '';
    if (offset <= length) return [text, offset];
    offset -= length;
  }
  return [at, at.childNodes.length];
}
