/** The models that may be asked, and the one that is chosen. */

import { listModels } from './account.js';
import { explained } from './failures.js';
import { askForKey, keyNumber, wantsKey } from './key.js';
import { t } from './language.js';
import { $, messageOf, place, showNotice } from './page.js';
import { local } from './storage.js';
import { TidegateError } from './tidegate.js';

/** Where a refusal does not say itself when to come back. */
const AGAIN_MS = 5000;

const KEPT = `tidegate:${place}:model`;

/** @type {ReturnType<typeof setTimeout> | undefined} */
let asking;

/** @type {(model: string) => void} */
let onChosen = () => {};

/** @param {(model: string) => void} callback Called with each model that is chosen, by whomever. */
export function whenChosen(callback) {
  onChosen = callback;
}

export async function loadModels() {
  clearTimeout(asking);
  const sentKey = keyNumber();
  let names;
  try {
    names = await listModels();
  } catch (error) {
    if (wantsKey(error)) askForKey(sentKey, loadModels);
    else withoutModels(error);
    return;
  }
  showNotice(names.length ? '' : t('This server has no model. Add one to its tidegate.toml.'));
  $('model').replaceChildren(...names.map((name) => new Option(name)));
  const kept = local.get(KEPT);
  if (kept && names.includes(kept)) $('model').value = kept;
  $('picker').hidden = names.length < 2;
  $('only-model').hidden = names.length !== 1;
  $('only-model').textContent = names[0] ?? '';
  onChosen($('model').value);
}

/** @returns {Promise<string>} Empty where there is none. */
export async function chosenModel() {
  if (!$('model').value) await loadModels();
  return $('model').value;
}

/** @param {unknown} error */
function withoutModels(error) {
  const failure = error instanceof TidegateError ? error : new TidegateError(messageOf(error));
  showNotice(explained(failure), t('Try again'), loadModels);
  if (failure.passing) asking = setTimeout(loadModels, failure.retryAfterMs || AGAIN_MS);
}

$('model').addEventListener('change', () => {
  local.set(KEPT, $('model').value);
  onChosen($('model').value);
});
