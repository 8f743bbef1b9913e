/** The way to this room, for others, and from it to more rooms. */

import { copyText } from './clipboard.js';
import { t } from './language.js';
import { $, base } from './page.js';
import { onlyHere } from './loopback.js';

/** What a room's name may be: that of a topic. */
const LONGEST = 128;

/** @param {string} topic The room's. */
export function showRooms(topic) {
  const address = new URL(`room/${encodeURIComponent(topic)}`, base).href;
  $('address').value = address;
  $('address-note').textContent = onlyHere(address) || t('Whoever has the address can come in.');
  $('copied').textContent = '';
  $('room').value = '';
  $('room-problem').hidden = true;
  $('rooms-dialog').showModal();
}

/**
 * A room's name as somebody may type it, as a topic's.
 *
 * @param {string} typed
 */
function nameOf(typed) {
  const plain = typed.normalize('NFKD').replace(/\p{Mark}/gu, '');
  return plain
    .replace(/[^\w.:-]+/g, '-')
    .replace(/^[^\w]+|-+$/g, '')
    .slice(0, LONGEST);
}

/** @param {Event} event */
function go(event) {
  event.preventDefault();
  const name = nameOf($('room').value);
  $('room-problem').hidden = Boolean(name);
  if (name) location.assign(new URL(`room/${encodeURIComponent(name)}`, base));
  else $('room').select();
}

async function copyAddress() {
  const copied = await copyText($('address').value);
  $('copied').textContent = copied ? t('It has been copied.') : t('The browser did not let it be copied.');
}

$('rooms-form').addEventListener('submit', go);
$('address-copy').addEventListener('click', copyAddress);
$('address').addEventListener('focus', () => $('address').select());
$('rooms-close').addEventListener('click', () => $('rooms-dialog').close());
