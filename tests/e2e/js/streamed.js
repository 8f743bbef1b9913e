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

/**
 * Shows the first pieces in the page, does something there, shows the others, and looks.
 *
 * @param {string[]} before
 * @param {string[]} after
 * @param {(node: HTMLElement) => void} act
 * @param {(node: HTMLElement) => unknown} look
 */
globalThis.meanwhile = (before, after, act, look) => {
  const node = document.createElement('div');
  node.className = 'answer';
  document.querySelector('main').append(node);
  const markdown = new Markdown(node);
  let text = '';
  const show = (pieces) => {
    for (const piece of pieces) {
      text += piece;
      markdown.show(text);
    }
  };
  show(before);
  act(node);
  show(after);
  const found = look(node);
  node.remove();
  return found;
};

/** Selects the words in the text node that has them. */
globalThis.select = (node, words) => {
  const walker = document.createTreeWalker(node, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const at = walker.currentNode.data.indexOf(words);
    if (at >= 0) return getSelection().setBaseAndExtent(walker.currentNode, at, walker.currentNode, at + words.length);
  }
  throw new Error(`${words} is in no text`);
};

/** What of an answer's nodes is not what Markdown is made of, and how deep they are. */
globalThis.suspects = (node) => {
  const names = 'a blockquote button code col colgroup del div em h2 h3 h4 h5 h6 hr input li ol p pre span strong table tbody td th thead tr ul';
  const attributes = 'aria-label aria-live checked class dir disabled href rel role scope start style tabindex target type';
  const found = [];
  let deepest = 0;
  for (const one of node.querySelectorAll('*')) {
    if (!names.split(' ').includes(one.localName)) found.push(one.outerHTML);
    for (const { name } of one.attributes) if (!attributes.split(' ').includes(name)) found.push(`${one.localName} ${name}`);
    if (one.href && !/^(https?:\/\/|mailto:)/.test(one.href)) found.push(one.href);
    if (one.localName === 'a' && (one.rel !== 'noopener noreferrer' || one.target !== '_blank')) found.push(one.outerHTML);
  }
  for (let level = [node]; level.length; level = level.flatMap(({ children }) => [...children])) deepest += 1;
  return { found, deepest, text: node.textContent };
};
