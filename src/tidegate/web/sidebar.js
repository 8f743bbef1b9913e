/** The list of conversations: beside the conversation where there is room, else in a drawer. */

import { date, t } from './language.js';
import { iconButton, make } from './nodes.js';
import { $ } from './page.js';

/**
 * @typedef {import('./shelf.js').Entry} Entry
 * @typedef {{open: (id: string) => void, rename: (id: string) => void, remove: (id: string) => void}} Choices
 */

const DAY_MS = 86_400_000;

/** @param {Entry[]} entries @param {string} current @param {Choices} choices */
export function showConversations(entries, current, choices) {
  const focused = document.activeElement?.closest('#conversations li')?.getAttribute('data-id');
  const items = entries.map((entry) => itemOf(entry, entry.id === current, choices));
  $('conversations').replaceChildren(...items);
  $('no-conversations').hidden = entries.length > 0;
  if (focused) focusConversation(focused);
}

/** @param {string} id */
export function focusConversation(id) {
  const items = [.../** @type {HTMLCollectionOf<HTMLElement>} */ ($('conversations').children)];
  items.find((item) => item.dataset.id === id)?.querySelector('a')?.focus();
}

/** @param {Entry} entry @param {boolean} isOpen @param {Choices} choices */
function itemOf({ id, title, at, live }, isOpen, { open, rename, remove }) {
  const link = /** @type {HTMLAnchorElement} */ (make('a', '', make('span', 'name', title), time(at)));
  // A link, so that it can be opened in another tab.
  link.href = `#${id}`;
  if (isOpen) link.setAttribute('aria-current', 'page');
  link.addEventListener('click', (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    closeSidebar();
    open(id);
  });
  const pen = iconButton('edit', t('Rename {title}', { title }), () => rename(id));
  const bin = iconButton('remove', t('Delete {title}', { title }), () => remove(id));
  const item = make('li', live ? 'live' : '', link, make('span', 'item-acts', pen, bin));
  item.dataset.id = id;
  return item;
}

/** @param {number} at */
function time(at) {
  const recent = Date.now() - at < DAY_MS;
  const parts = recent ? { hour: '2-digit', minute: '2-digit' } : { day: 'numeric', month: 'short' };
  return make('time', '', date(at / 1000, /** @type {Intl.DateTimeFormatOptions} */ (parts)));
}

function openSidebar() {
  $('shelf').classList.add('open');
  $('column').inert = true;
  $('shelf-open').setAttribute('aria-expanded', 'true');
  $('new').focus();
}

export function closeSidebar() {
  if (!$('shelf').classList.contains('open')) return;
  $('shelf').classList.remove('open');
  $('column').inert = false;
  $('shelf-open').setAttribute('aria-expanded', 'false');
  $('shelf-open').focus();
}

$('shelf-open').addEventListener('click', openSidebar);
$('shelf-close').addEventListener('click', closeSidebar);
$('shelf').addEventListener('click', (/** @type {Event} */ { target }) => target === $('shelf') && closeSidebar());
$('shelf').addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
  if (event.key !== 'Escape' || !$('shelf').classList.contains('open')) return;
  event.stopPropagation();
  closeSidebar();
});
