/** The API key: asked for where the server wants one, and handed to it for a cookie that no script can read. */

import { beginSession } from './account.js';
import { explained } from './failures.js';
import { forget, GIVEN, hasKept, sendOthersAway } from './forget.js';
import { t } from './language.js';
import { $, base, showNotice } from './page.js';
import { local } from './storage.js';
import { TidegateError } from './tidegate.js';
import { markOf } from './whose.js';

/** @type {Set<() => void>} What waits for the key. */
const waiting = new Set();

/** The number of the newest key that this page was given; 0 before the first. */
let newest = 0;

/** The mark of whoever was told that their key ends what another one has kept. */
let warned = '';

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
  showSignOut();
  if (dialog.open) return;
  dialog.returnValue = '';
  dialog.showModal();
}

/**
 * Notes for all tabs whose key was given last; nothing of the key is kept. With the time, each key is news for them.
 *
 * @param {string} mark Empty once it was taken back.
 */
export function noteKey(mark) {
  if (mark) local.set(GIVEN, `${mark} ${Date.now()}`);
  else local.remove(GIVEN);
  showSignOut();
}

/** Also when the cookie is gone by itself: until somebody signs out, what they have asked is kept. */
export function showSignOut() {
  $('sign-out').hidden = !local.get(GIVEN);
}

/** @param {Event} event */
async function submit(event) {
  event.preventDefault();
  showProblem('');
  const key = $('key').value.trim();
  const mark = markOf(key);
  const [owner = mark] = local.get(GIVEN)?.split(' ') ?? [];
  const isOther = mark !== owner;
  if (isOther && hasKept() && warned !== mark) {
    warned = mark;
    showProblem(t('What is kept here was asked with another key. To continue with this one deletes it.'));
    return;
  }
  try {
    await beginSession(key, { base });
  } catch (error) {
    showProblem(explained(/** @type {TidegateError} */ (error)));
    $('key').select();
    return;
  }
  if (isOther) forget();
  noteKey(mark);
  if (isOther) {
    sendOthersAway();
    location.reload();
  } else goOn();
}

/** There is a key: what has waited for it is done. */
function goOn() {
  newest += 1;
  if ($('key-dialog').open) $('key-dialog').close('given');
  if (waiting.size) showNotice('');
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
addEventListener('storage', ({ key, newValue }) => {
  if (key !== GIVEN) return;
  showSignOut();
  if (newValue) goOn();
});
