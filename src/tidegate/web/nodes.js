/** Elements for those who show something. */

/** The lines of each icon, in a square of 20. */
const ICONS = {
  copy: 'M7.5 7.5v-3h8v8h-3M4.500 7.500h8v8h-8z',
  done: 'M4.500 10.500l3.700 3.700 7.300-8',
  again: 'M15.500 8.500a6 6 0 1 0 .3 3.500M15.800 4.500v4h-4',
  share: 'M10 12.500v-8.500M6.700 7l3.300-3.200 3.300 3.200M5 10.500v5.500h10v-5.500',
  edit: 'M4.500 15.500l.7-3.200 7.700-7.700 2.500 2.500-7.700 7.700z',
  before: 'M12 5.500l-4.500 4.500 4.500 4.500',
  after: 'M8 5.500l4.500 4.500-4.500 4.500',
  remove: 'M4.500 6h11M8 6v-1.700h4v1.700M6 6l.6 10h6.800l.6-10M8.700 8.500v5M11.300 8.500v5',
};

/** @typedef {keyof typeof ICONS} IconName */

/** @param {string} name @param {string} className @param {(string | Node)[]} children */
export function make(name, className, ...children) {
  const node = document.createElement(name);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

/** @param {string} label @param {() => void} run @param {string} [className] */
export function button(label, run, className = 'plain') {
  const node = /** @type {HTMLButtonElement} */ (make('button', className, label));
  node.type = 'button';
  node.addEventListener('click', run);
  return node;
}

/** @param {IconName} name @param {string} label Said, and shown to a pointer. @param {() => void} run */
export function iconButton(name, label, run) {
  const node = button('', run, 'icon');
  node.append(icon(name));
  node.setAttribute('aria-label', label);
  node.title = label;
  return node;
}

/** @param {IconName} name */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 20 20');
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(svg.namespaceURI, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}
