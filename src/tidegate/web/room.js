/**
 * A room: several people and the model in one conversation, with who is there.
 *
 * What is said is a topic, and an answer is a generation, whose stream all members follow.
 *
 * @typedef {import('./talk.js').Answer} Answer
 * @typedef {import('./talk.js').Said} Said
 * @typedef {import('./tidegate.js').StateDetail} StateDetail
 */

import { listModels } from './account.js';
import { Answers } from './answers.js';
import { Attendance } from './attendance.js';
import { Connection, MAX_DELAY_MS } from './connection.js';
import { Drafts } from './drafts.js';
import { saidView, shownName } from './entry.js';
import { explained } from './failures.js';
import { whenSentAway } from './forget.js';
import { inert } from './inert.js';
import { askForKey, keyNumber, showSignOut, wantsKey } from './key.js';
import { t } from './language.js';
import { signOut } from './leaving.js';
import { askForName, ownName, welcomeByName } from './naming.js';
import { make } from './nodes.js';
import { Outbox } from './outbox.js';
import { Own } from './own.js';
import { $, announce, base, fitPrompt, isComposing, keepAtEnd, place, scrollToEnd, showNotice } from './page.js';
import { showRooms } from './rooms.js';
import { local, session } from './storage.js';
import { addressed, messageIn, MOST_ENTRIES, Talk } from './talk.js';
import { followTopic, newKey, publish, TidegateError } from './tidegate.js';

/** Who may only read: nobody among those who ask. */
const NOBODY = 'nobody';

/** Where a refusal does not say itself when to come back. */
const AGAIN_MS = 5000;

/** A message without an answer is sent again: those behind it wait. */
const PATIENCE_MS = 10_000;

/** After so many tries a WebSocket is not let through by something in between. */
const SOCKET_TRIES = 2;

const topic = decodeURIComponent(location.pathname.split('/').at(-1) ?? '');
const drafts = new Drafts(session, local, place);
const draft = `room:${topic}`;
const talk = new Talk();
const own = new Own();
const connection = new Connection();

/** This tab, for the others, also after a refresh; and this page, to know its own arrival among all of them. */
const MEMBER = `tidegate:${place}:member`;
const member = session.get(MEMBER) ?? newKey();
session.set(MEMBER, member);
const visit = newKey();

let name = ownName();
/** Who the server takes us for; known once the own arrival comes back, when all that was said before has been read. */
let principal = '';
/** Up to where the topic has been read. */
let cursor = '';
/** @type {'websocket' | 'sse'} */
let transport = 'websocket';
/** @type {string[]} */
let models = [];

const outbox = new Outbox(tell, own);
const answers = new Answers({ tell, own, add: append, transport: () => transport, principal: () => principal });
const attendance = new Attendance(topic, talk);

// Coming and going.

/** @param {string} chosen */
function enter(chosen) {
  const isFirst = !$('rename').textContent;
  name = chosen;
  $('rename').textContent = name;
  $('rename').setAttribute('aria-label', t('Your name: {name}', { name }));
  $('rename').hidden = false;
  if (isFirst) join();
  hello();
  $('prompt').focus();
}

function join() {
  follow();
  loadModels();
}

async function follow() {
  const sentKey = keyNumber();
  const leaving = new AbortController();
  let failures = 0;
  const onState = (/** @type {import('./tidegate.js').State} */ state, /** @type {StateDetail} */ detail) => {
    showConnection(state, detail);
    if (state === 'streaming') failures = NaN;
    if (detail.delay && (failures += 1) >= SOCKET_TRIES && transport === 'websocket') leaving.abort();
  };
  const place = { base, after: cursor || 'earliest', maxDelay: MAX_DELAY_MS, transport, signal: leaving.signal };
  try {
    await followTopic(topic, { ...place, onEvent: take, onState });
  } catch (error) {
    if (leaving.signal.aborted) {
      transport = 'sse';
      follow();
    } else if (wantsKey(error)) askForKey(sentKey, follow);
    else refused(error);
  }
}

async function hello() {
  const sentKey = keyNumber();
  try {
    await tell({ kind: 'hello', visit });
  } catch (error) {
    if (wantsKey(error)) {
      askForKey(sentKey, hello);
      return;
    }
    if (error instanceof TidegateError && error.passing) {
      setTimeout(hello, error.retryAfterMs || AGAIN_MS);
      return;
    }
    refused(error);
    // Who may not write can still read.
    if (!principal) arrived(NOBODY);
  }
}

function leave() {
  if (!principal) return;
  const body = JSON.stringify({ data: { kind: 'bye', member, name } });
  const headers = { 'content-type': 'application/json' };
  const url = new URL(`v1/topics/${encodeURIComponent(topic)}/messages`, base);
  fetch(url, { method: 'POST', keepalive: true, headers, body }).catch(() => {});
}

/**
 * Publishes to the room, however long it takes to get through.
 *
 * @param {object} data
 * @param {string} [key]
 */
function tell(data, key = newKey()) {
  const insisting = { base, key, attempts: Infinity, maxDelay: MAX_DELAY_MS, patienceMs: PATIENCE_MS };
  return publish(topic, { ...data, member, name }, insisting);
}

// What comes in.

/** @param {import('./tidegate.js').StreamEvent} event Anybody may have published it: none ends the room for all. */
function take(event) {
  cursor = event.cursor;
  try {
    show(event);
  } catch (error) {
    reportError(error);
  }
}

/** @param {import('./tidegate.js').StreamEvent} event */
function show(event) {
  if (event.type === 'presence') attendance.lookSoon();
  if (event.type === 'gap') append(make('li', 'entry lost', t('Some of what was said here is no longer kept.')));
  const message = messageIn(event);
  if (!message) return;
  const before = talk.entries.at(-1);
  const entry = talk.take(message);
  if (!principal && message.kind === 'hello' && message.visit === visit) arrived(message.from);
  if (message.kind === 'hello' || message.kind === 'bye') attendance.lookSoon();
  if (!entry) return;
  if (message.kind === 'answered') answers.end(/** @type {Answer} */ (entry));
  else if (entry.kind === 'answer') answers.show(entry);
  else showSaid(entry, before);
}

/**
 * All that was said before has been read: which of the answers have ended is known, the others are followed.
 *
 * @param {string} from
 */
function arrived(from) {
  principal = from;
  if (from !== NOBODY) own.arrive(from);
  $('welcome').hidden = talk.entries.length > 0;
  answers.followAll();
  scrollToEnd();
}

/** @param {Said} said @param {Said | Answer | undefined} before */
function showSaid(said, before) {
  const isOwn = own.shows(said);
  append(saidView(said, isOwn, before));
  if (principal && !isOwn) announce(`${shownName(said.name)}: ${inert(said.text)}`);
  if (!isOwn) return;
  if (outbox.arrived(said.id) && said.to) answers.ask(said, talk.asked(said));
}

/** @param {HTMLElement} node */
function append(node) {
  $('welcome').hidden = true;
  $('log').append(node);
  if ($('log').children.length > MOST_ENTRIES) $('log').firstElementChild.remove();
  keepAtEnd();
}

// What goes out.

/** @param {string} [model] The one to answer, where the words name none. */
function say(model) {
  const typed = $('prompt').value.trim();
  if (!typed) return;
  if (!name) {
    askForName(enter);
    return;
  }
  const { to, text } = addressed(typed, models, $('model').value);
  outbox.add(text, to || (model ?? ''));
  $('prompt').value = '';
  changed();
  scrollToEnd();
}

function changed() {
  drafts.keep(draft, $('prompt').value);
  fitPrompt();
  showControls();
}

function showControls() {
  const empty = !$('prompt').value.trim();
  $('send').disabled = empty;
  $('ask').disabled = empty;
}

// The connection, the key, the models.

/** @param {import('./tidegate.js').State} state @param {StateDetail} detail */
function showConnection(state, detail) {
  attendance.showConnection(state);
  connection.show(state, detail);
}

/** @param {unknown} error */
function refused(error) {
  showNotice(explained(/** @type {Error} */ (error)));
}

async function loadModels() {
  const sentKey = keyNumber();
  try {
    models = await listModels({ base });
  } catch (error) {
    // Who may not ask a model can still talk.
    if (wantsKey(error)) askForKey(sentKey, loadModels);
    return;
  }
  $('model').replaceChildren(...models.map((model) => new Option(model)));
  $('picker').hidden = models.length < 2;
  $('ask').hidden = $('mention').hidden = models.length === 0;
  showModel();
}

function showModel() {
  const model = $('model').value;
  $('mention-name').textContent = `@${model}`;
  $('ask').title = t('Sends it to all, and asks {model}', { model });
}

$('composer').addEventListener('submit', (/** @type {Event} */ event) => {
  event.preventDefault();
  say();
});
$('prompt').addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
  if (event.key !== 'Enter' || event.shiftKey || isComposing(event)) return;
  event.preventDefault();
  say(event.ctrlKey || event.metaKey ? $('model').value : '');
});
$('prompt').addEventListener('input', changed);
$('ask').addEventListener('click', () => {
  say($('model').value);
  $('prompt').focus();
});
$('model').addEventListener('change', showModel);
$('rename').addEventListener('click', () => askForName(enter));
$('rooms').addEventListener('click', () => showRooms(topic));
$('sign-out').addEventListener('click', signOut);
whenSentAway(() => {});
addEventListener('pagehide', leave);
addEventListener('pageshow', ({ persisted }) => persisted && hello());

document.title = `${topic} · tidegate`;
$('title').textContent = topic;
$('prompt').value = drafts.read(draft);
fitPrompt();
showControls();
showSignOut();
if (name) enter(name);
else welcomeByName(enter);
