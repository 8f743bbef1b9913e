/** The API key: asked for where the server wants one, and handed to it for a cookie that no script can read. */

import { beginSession } from './account.js';
import { explained } from './failures.js';
import { t } from './language.js';
import { $, base, place, showNotice } from './page.js';
import { TidegateError } from './tidegate.js';

/** That there is such a cookie is noted for all tabs; nothing of the key is. */
const GIVEN = `tidegate:${place}:key-given`;

/** @type {Set<() => void>} What waits for the key. */
const waiting = new Set();

/** The number of the newest key that this page was given; 0 before the first. */
let newest = 0;

/** @param {unknown} error Whether it says that the key is missing, or no longer good. */
export function wantsKey(error) {
  return error instanceof TidegateError && error.status === 401;
}

/** The number of the key that goes with what is sent now: to be noted then, for `askForKey`. */
export function keyNumber() {
  return newest;
}

/**
 * Asks for a key, and goes on once it is given. A refusal may come after a key that was given since: it says nothing
 * about that one, which is tried first.
 *
 * @param {number} sent The `keyNumber` of what the server has refused.
 * @param {() => void} then What could not be done without.
 */
export function askForKey(sent, then) {
  if (sent !== newest) {
    then();
    return;
  }
  const dialog = $('key-dialog');
  waiting.add(then);
  noteKey(false);
  if (dialog.open) return;
  dialog.returnValue = '';
  dialog.showModal();
}

/** @param {boolean} given */
export function noteKey(given) {
  if (given) localStorage.setItem(GIVEN, 'yes');
  else localStorage.removeItem(GIVEN);
  showSignOut();
}

export function showSignOut() {
  $('sign-out').hidden = !localStorage.getItem(GIVEN);
}

/** @param {Event} event */
async function submit(event) {
  event.preventDefault();
  showProblem('');
  try {
    await beginSession($('key').value.trim(), { base });
  } catch (error) {
    showProblem(explained(/** @type {TidegateError} */ (error)));
    $('key').select();
    return;
  }
  newest += 1;
  noteKey(true);
  $('key-dialog').close('given');
  showNotice('');
  const all = [...waiting];
  waiting.clear();
  for (const then of all) then();
}

/** @param {string} text */
function showProblem(text) {
  $('key-problem').textContent = text;
  $('key-problem').hidden = !text;
}

function closed() {
  const dialog = $('key-dialog');
  $('key').value = '';
  showProblem('');
  if (dialog.returnValue === 'given') {
    giveBackFocus();
    return;
  }
  showNotice(t('This server asks for an API key.'), t('Enter it'), () => {
    if (!dialog.open) dialog.showModal();
  });
}

/** Chromium gives the focus back to a field after a click, but not the caret: what is typed would be lost. */
function giveBackFocus() {
  const field = document.activeElement;
  if (field instanceof HTMLElement) {
    field.blur();
    field.focus();
  }
}

$('key-form').addEventListener('submit', submit);
$('key-dialog').addEventListener('close', closed);
$('key-later').addEventListener('click', () => $('key-dialog').close());
