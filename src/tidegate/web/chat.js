/**
 * The chat page: what happens when someone asks, stops, shares, refreshes, loses the network or has no key.
 *
 * @typedef {import('./conversation.js').Turn} Turn
 */

import { Conversation, settle } from './conversation.js';
import { askForKey, keyNumber, noteKey, showSignOut, wantsKey } from './key.js';
import { Live } from './live.js';
import { $, fitPrompt, keepAtEnd, messageOf, place, scrollToEnd, sentence, showNotice } from './page.js';
import { hideLink, share } from './sharing.js';
import {
  cancelStream,
  endSession,
  followStream,
  listModels,
  newKey,
  readStream,
  startStream,
  TidegateError,
} from './tidegate.js';
import { TurnView } from './view.js';

const SAVE_EVERY_MS = 250;

/** Where a refusal does not say itself when to come back. */
const AGAIN_MS = 5000;

const MODEL = `tidegate:${place}:model`;

const conversation = new Conversation(sessionStorage, `tidegate:${place}:turns`);
const tabs = new BroadcastChannel(`tidegate:${place}`);
/** @type {TurnView | null} */
let view = null;
/** @type {Live | null} The following of the live turn. */
let live = null;

// Asking and following.

/** @param {string} question */
async function ask(question) {
  const model = await chosenModel();
  if (!model || conversation.live) return false;
  const turn = conversation.ask(question, model, newKey());
  conversation.save();
  showTurn(turn);
  scrollToEnd();
  follow(turn);
  return true;
}

async function retry() {
  if (!(await chosenModel()) || conversation.live) return;
  const question = conversation.takeBack()?.question;
  view?.node.remove();
  if (question) await ask(question);
}

/**
 * Follows the live turn to its end, from wherever it stands: not yet started, or in mid-answer after a refresh.
 *
 * @param {Turn} turn
 */
async function follow(turn) {
  const own = (live = new Live(/** @type {TurnView} */ (view)));
  const sentKey = keyNumber();
  const options = {
    after: turn.cursor,
    key: turn.key,
    signal: own.signal,
    onStart(/** @type {string} */ id) {
      turn.id = id;
      conversation.save();
      own.view.offerShare();
      if (own.stopping) cancel(turn);
    },
    onEvent(/** @type {import('./tidegate.js').StreamEvent} */ event) {
      own.take(event);
      saveSoon();
    },
    onState: own.show.bind(own),
  };
  try {
    const end = await (turn.id ? followStream(turn.id, options) : startStream(conversation.request(), options));
    if (!end || turn.seconds === null) settle(turn, await readStream(turn.id));
  } catch (error) {
    if (turn.status === 'live' && !own.signal.aborted) failed(own, sentKey, error);
  }
  if (turn.status !== 'live' && !own.signal.aborted) ended(own);
}

/** @param {Live} own @param {number} sentKey @param {unknown} error */
function failed(own, sentKey, error) {
  const { turn } = own;
  if (wantsKey(error)) {
    own.waitFor('Waiting for the API key');
    askForKey(sentKey, () => {
      if (live === own) follow(turn);
    });
    return;
  }
  const lost = error instanceof TidegateError && error.status === 404 && turn.id;
  turn.status = lost ? 'lost' : 'failed';
  turn.error = lost ? 'The server no longer knows this answer.' : messageOf(error);
}

/** @param {Live} own */
function ended(own) {
  live = null;
  conversation.save();
  own.end();
  showControls();
}

async function stop() {
  const turn = conversation.live;
  if (!turn || !live) return;
  if (live.stopping || !live.reachable) {
    // The server cannot be asked now. It ends the answer by itself once its reader has been away for a while.
    live.leave();
    turn.status = 'cancelled';
    if (turn.id) cancelStream(turn.id).catch(() => {});
    ended(live);
    return;
  }
  live.showStopping();
  if (turn.id) await cancel(turn);
}

/** @param {Turn} turn The `cancelled` event comes to its reader, like every other. */
function cancel(turn) {
  return cancelStream(turn.id).catch((error) => showNotice(`It could not be stopped: ${error.message}`));
}

/** @returns {Promise<unknown>} Until the server has been told. */
function startAnew() {
  const id = conversation.live?.id;
  live?.leave();
  live = null;
  view = null;
  conversation.clear();
  $('thread').replaceChildren();
  showNotice('');
  hideLink();
  showControls();
  $('prompt').focus();
  return id ? cancelStream(id).catch(() => {}) : Promise.resolve();
}

/** @param {Turn} turn */
async function shareTurn(turn) {
  if (!conversation.turns.includes(turn)) return;
  const sentKey = keyNumber();
  try {
    await share(turn.id);
  } catch (error) {
    if (wantsKey(error)) askForKey(sentKey, () => shareTurn(turn));
    else showNotice(`It could not be shared: ${messageOf(error)}`);
  }
}

// What the page shows.

/** @param {Turn} turn */
function showTurn(turn) {
  view = new TurnView(turn, { onRetry: retry, onShare: () => shareTurn(turn) });
  // Only the last turn can be asked again.
  for (const old of $('thread').querySelectorAll('.status .plain')) old.remove();
  $('thread').append(view.node);
  showControls();
  keepAtEnd();
}

function showControls() {
  const answering = Boolean(conversation.live);
  const focused = document.activeElement;
  $('send').hidden = answering;
  $('stop').hidden = !answering;
  $('send').disabled = !$('prompt').value.trim();
  $('welcome').hidden = conversation.turns.length > 0;
  $('new').hidden = conversation.turns.length === 0;
  // A button that vanishes must not take the focus with it.
  if (focused instanceof HTMLElement && focused !== document.body && !focused.checkVisibility()) $('prompt').focus();
}

// Keeping.

/** @type {ReturnType<typeof setTimeout> | undefined} */
let saving;

function saveSoon() {
  saving ??= setTimeout(saveNow, SAVE_EVERY_MS);
}

function saveNow() {
  clearTimeout(saving);
  saving = undefined;
  conversation.save();
}

// Models and the key.

/** @type {ReturnType<typeof setTimeout> | undefined} */
let asking;

async function loadModels() {
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
  showNotice(names.length ? '' : 'This server has no model. Add one to its tidegate.toml.');
  $('model').replaceChildren(...names.map((name) => new Option(name)));
  const kept = sessionStorage.getItem(MODEL);
  if (kept && names.includes(kept)) $('model').value = kept;
  $('picker').hidden = names.length < 2;
  $('only-model').hidden = names.length !== 1;
  $('only-model').textContent = names[0] ?? '';
}

/** @param {unknown} error */
function withoutModels(error) {
  const said = error instanceof TidegateError && error.status;
  showNotice(said ? sentence(messageOf(error)) : 'The server cannot be reached.', 'Try again', loadModels);
  if (error instanceof TidegateError && error.passing) asking = setTimeout(loadModels, error.retryAfterMs || AGAIN_MS);
}

async function chosenModel() {
  if (!$('model').value) await loadModels();
  return $('model').value;
}

async function signOut() {
  // The answer can be stopped for as long as there is a key.
  await startAnew();
  try {
    await endSession();
  } catch (error) {
    showNotice(`You are still signed in: ${messageOf(error)}`, 'Try again', signOut);
    return;
  }
  noteKey(false);
  tabs.postMessage('signed out');
  loadModels();
}

// The composer.

async function send() {
  const text = $('prompt').value.trim();
  if (!text || conversation.live || !(await ask(text))) return;
  // What was typed while the question was on its way is the next one's.
  if ($('prompt').value.trim() === text) $('prompt').value = '';
  fitPrompt();
  showControls();
}

$('composer').addEventListener('submit', (/** @type {Event} */ event) => {
  event.preventDefault();
  send();
});
$('prompt').addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
});
$('prompt').addEventListener('input', () => {
  fitPrompt();
  showControls();
});
$('suggestions').addEventListener('click', (/** @type {Event} */ { target }) => {
  if (target instanceof HTMLButtonElement) ask(target.textContent ?? '');
});
$('model').addEventListener('change', () => sessionStorage.setItem(MODEL, $('model').value));
$('stop').addEventListener('click', stop);
$('new').addEventListener('click', startAnew);
$('sign-out').addEventListener('click', signOut);
tabs.addEventListener('message', () => {
  startAnew();
  loadModels();
});
addEventListener('pagehide', saveNow);
document.addEventListener('visibilitychange', saveNow);

for (const turn of conversation.turns) showTurn(turn);
showControls();
showSignOut();
loadModels();
const unfinished = conversation.live;
if (unfinished) {
  unfinished.unbroken = false;
  follow(unfinished);
}
