// What the page's Markdown does to the nodes of an answer that comes in pieces. Loaded into a page of the server.

const { Markdown } = await import(new URL('web/markdown.js', document.baseURI));

/** @param {string} text */
function atOnce(text) {
  const node = document.createElement('div');
  new Markdown(node).show(text);
  return node;
}

/** How many characters were put into the nodes, and the nodes that were changed. */
function work(records) {
  let written = 0;
  for (const { type, target, addedNodes, oldValue } of records) {
    if (type === 'characterData') written += Math.max(0, target.length - oldValue.length);
    else for (const { textContent } of addedNodes) written += textContent.length;
  }
  return { written, changed: records.map(({ target }) => target) };
}

/**
 * Shows the pieces one after the other, and each time compares the nodes with those of the same text shown at once.
 *
 * @param {string[]} pieces
 * @param {boolean} compare
 */
globalThis.stream = (pieces, compare) => {
  const node = document.createElement('div');
  const markdown = new Markdown(node);
  const observer = new MutationObserver(() => {});
  const seen = { subtree: true, childList: true, characterData: true, characterDataOldValue: true, attributes: true };
  observer.observe(node, seen);
  let text = '';
  let written = 0;
  for (const piece of pieces) {
    const closed = Array.from(node.children).slice(0, markdown.closed);
    text += piece;
    markdown.show(text);
    const done = work(observer.takeRecords());
    written += done.written;
    if (closed.some((block, at) => block !== node.children[at] || done.changed.some((one) => block.contains(one)))) {
      return { problem: 'a closed block was touched', text, html: node.innerHTML };
    }
    if (compare && !node.isEqualNode(atOnce(text))) {
      return { problem: 'it is not the same', text, html: node.innerHTML, whole: atOnce(text).innerHTML };
    }
  }
  if (!node.isEqualNode(atOnce(text))) return { problem: 'it ends differently', text, html: node.innerHTML };
  return { written, length: text.length };
};
