/** The name that somebody goes by in rooms: chosen once, and kept by their browser. */

import { t } from './language.js';
import { $, place, showNotice } from './page.js';
import { local, session } from './storage.js';

const NAME = `tidegate:${place}:name`;

/** Whoever does not want to choose one now is not asked again in this tab, and may still choose. */
const LATER = `tidegate:${place}:name-later`;

/** @type {(name: string) => void} */
let then = () => {};

export function ownName() {
  return local.get(NAME) ?? '';
}

/** @param {(name: string) => void} use Asks who has just come. */
export function welcomeByName(use) {
  if (session.get(LATER)) offerName(use);
  else askForName(use);
}

/** @param {(name: string) => void} use What to do with it. */
export function askForName(use) {
  then = use;
  $('name').value = ownName();
  $('name-dialog').returnValue = '';
  $('name-dialog').showModal();
  $('name').select();
}

function closed() {
  const name = $('name').value.trim();
  if ($('name-dialog').returnValue === 'given' && name) {
    local.set(NAME, name);
    showNotice('');
    then(name);
  } else if (!ownName()) {
    session.set(LATER, 'yes');
    offerName(then);
  }
}

/** @param {(name: string) => void} use */
function offerName(use) {
  showNotice(t('Choose a name to come in.'), t('Choose it'), () => askForName(use));
}

$('name-form').addEventListener('submit', (/** @type {Event} */ event) => {
  event.preventDefault();
  $('name-dialog').close('given');
});
$('name-dialog').addEventListener('close', closed);
$('name-later').addEventListener('click', () => $('name-dialog').close());
