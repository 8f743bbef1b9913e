/** The chat page: what happens when someone asks, stops, refreshes, loses the network or has no key. */

import { apply, Conversation, settle } from './conversation.js';
import { $, announce, fitPrompt, keepAtEnd, scrollToEnd, showNotice } from './page.js';
import { cancelStream, followStream, listModels, newKey, readStream, startStream, TidegateError } from './tidegate.js';
import { TurnView } from './view.js';

const SAVE_EVERY_MS = 250;

// Several servers may be mounted side by side on one origin.
const place = new URL('.', document.baseURI).pathname;
const KEY = `tidegate:${place}:key`;
const MODEL = `tidegate:${place}:model`;

const conversation = new Conversation(sessionStorage, `tidegate:${place}:turns`);
/** @type {TurnView | null} */
let view = null;
/** @type {AbortController | null} The following of the live turn. */
let following = null;
let state = 'idle';
let stopping = false;

const credentials = () => ({ token: sessionStorage.getItem(KEY) ?? undefined });

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
 * @param {import('./conversation.js').Turn} turn
 */
async function follow(turn) {
  const controller = (following = new AbortController());
  stopping = false;
  const options = {
    ...credentials(),
    after: turn.cursor,
    key: turn.key,
    signal: controller.signal,
    onStart(/** @type {string} */ id) {
      turn.id = id;
      conversation.save();
      if (stopping) cancel(turn);
    },
    onEvent(/** @type {import('./tidegate.js').StreamEvent} */ event) {
      apply(turn, event);
      saveSoon();
      paintSoon();
    },
    onState: showState,
  };
  try {
    const end = await (turn.id ? followStream(turn.id, options) : startStream(conversation.request(), options));
    if (!end || turn.seconds === null) settle(turn, await readStream(turn.id, credentials()));
  } catch (error) {
    if (turn.status === 'live' && !controller.signal.aborted) failed(turn, error);
  }
  if (turn.status !== 'live' && !controller.signal.aborted) ended(turn);
}

/** @param {import('./conversation.js').Turn} turn @param {unknown} error */
function failed(turn, error) {
  if (error instanceof TidegateError && error.status === 401) {
    askForKey(() => follow(turn));
    return;
  }
  turn.status = error instanceof TidegateError && error.status === 404 && turn.id ? 'lost' : 'failed';
  turn.error = error instanceof Error ? error.message : String(error);
}

/** @param {import('./conversation.js').Turn} turn */
function ended(turn) {
  following = null;
  state = 'idle';
  conversation.save();
  paint();
  view?.showEnd();
  const text = view?.endText();
  if (text) announce(text);
  showNotice('');
  showControls();
  keepAtEnd();
}

async function stop() {
  const turn = conversation.live;
  if (!turn) return;
  const reachable = state === 'streaming' || state === 'connecting';
  if (stopping || !reachable) {
    // The server cannot be asked now. It ends the answer by itself once its reader has been away for a while.
    following?.abort();
    turn.status = 'cancelled';
    if (turn.id) cancelStream(turn.id, credentials()).catch(() => {});
    ended(turn);
    return;
  }
  stopping = true;
  view?.showState(state, 'Stopping');
  if (turn.id) await cancel(turn);
}

/** @param {import('./conversation.js').Turn} turn The `cancelled` event comes to its reader, like every other. */
function cancel(turn) {
  return cancelStream(turn.id, credentials()).catch((error) => showNotice(`It could not be stopped: ${error.message}`));
}

function startAnew() {
  const turn = conversation.live;
  if (turn) {
    following?.abort();
    if (turn.id) cancelStream(turn.id, credentials()).catch(() => {});
  }
  following = null;
  view = null;
  state = 'idle';
  conversation.clear();
  $('thread').replaceChildren();
  showNotice('');
  showControls();
  $('prompt').focus();
}

// What the page shows.

/** @param {import('./conversation.js').Turn} turn */
function showTurn(turn) {
  view = new TurnView(turn, { onRetry: retry });
  // Only the last turn can be asked again.
  for (const old of $('thread').querySelectorAll('.status .plain')) old.remove();
  $('thread').append(view.node);
  showControls();
  keepAtEnd();
}

/** @param {string} now @param {import('./tidegate.js').StateDetail} detail */
function showState(now, { error, retry: again }) {
  const before = state;
  state = now;
  const turn = conversation.live;
  if (now === 'reconnecting' || now === 'offline') {
    if (turn) turn.unbroken = false;
    view?.showState(now, now === 'offline' ? 'Waiting for the connection' : 'Reconnecting');
  } else if (now !== 'ended') {
    view?.showState(now, stopping ? 'Stopping' : now === 'connecting' ? 'Connecting' : 'Answering');
  }
  if (now === 'offline' && again) {
    const why = error instanceof TidegateError && error.status ? error.message : 'The server cannot be reached.';
    showNotice(`${why} What has arrived is safe, and the rest follows once it is back.`, 'Try again', again);
  } else if (now === 'streaming' || now === 'connecting') {
    showNotice('');
  }
  if (now === before) return;
  if (now === 'reconnecting') announce('The connection broke. Reconnecting.');
  if (now === 'streaming' && before !== 'connecting') announce('Connected again.');
}

function showControls() {
  const live = Boolean(conversation.live);
  const focused = document.activeElement;
  $('send').hidden = live;
  $('stop').hidden = !live;
  $('send').disabled = !$('prompt').value.trim();
  $('welcome').hidden = conversation.turns.length > 0;
  $('new').hidden = conversation.turns.length === 0;
  // A button that vanishes must not take the focus with it.
  if (focused instanceof HTMLElement && focused !== document.body && !focused.checkVisibility()) $('prompt').focus();
}

let painting = false;

function paintSoon() {
  if (painting) return;
  painting = true;
  requestAnimationFrame(() => {
    painting = false;
    paint();
  });
}

function paint() {
  const spoken = view?.showAnswer() ?? [];
  if (spoken.length) announce(spoken.join('\n'));
  keepAtEnd();
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

async function loadModels() {
  let names;
  try {
    names = await listModels(credentials());
  } catch (error) {
    if (error instanceof TidegateError && error.status === 401) askForKey(loadModels);
    else showNotice('The server cannot be reached.', 'Try again', loadModels);
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

async function chosenModel() {
  if (!$('model').value) await loadModels();
  return $('model').value;
}

/** @param {() => void} then */
function askForKey(then) {
  const dialog = $('key-dialog');
  $('key-problem').hidden = !sessionStorage.getItem(KEY);
  $('key-form').onsubmit = (/** @type {Event} */ event) => {
    event.preventDefault();
    sessionStorage.setItem(KEY, $('key').value.trim());
    dialog.close('given');
    showNotice('');
    then();
  };
  dialog.onclose = () => {
    $('key').value = '';
    if (dialog.returnValue !== 'given') showNotice('This server asks for an API key.', 'Enter it', () => askForKey(then));
  };
  dialog.returnValue = '';
  if (!dialog.open) dialog.showModal();
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
$('key-later').addEventListener('click', () => $('key-dialog').close());
addEventListener('pagehide', saveNow);
document.addEventListener('visibilitychange', saveNow);

for (const turn of conversation.turns) showTurn(turn);
showControls();
loadModels();
const unfinished = conversation.live;
if (unfinished) {
  unfinished.unbroken = false;
  follow(unfinished);
}
