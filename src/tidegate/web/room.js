/**
 * A room: several people and the model in one conversation, with who is there.
 *
 * What is said is a topic, and an answer is a generation, whose stream all members follow.
 *
 * @typedef {import('./talk.js').Answer} Answer
 * @typedef {import('./tidegate.js').StateDetail} StateDetail
 */

import { Answers } from './answers.js';
import { Attendance } from './attendance.js';
import { Outgoing, saidView } from './entry.js';
import { askForKey, keyNumber, noteKey, showSignOut, wantsKey } from './key.js';
import { askForName, ownName } from './naming.js';
import { Own } from './own.js';
import { $, announce, base, fitPrompt, keepAtEnd, messageOf, place, scrollToEnd, sentence, showNotice } from './page.js';
import { Socket } from './socket.js';
import { addressee, messageIn, Talk } from './talk.js';
import { endSession, listModels, newKey, TidegateError } from './tidegate.js';

/** Who may only read: nobody among those who ask. */
const NOBODY = 'nobody';

/** Where a refusal does not say itself when to come back. */
const AGAIN_MS = 5000;

const topic = decodeURIComponent(location.pathname.split('/').at(-1) ?? '');
const tabs = new BroadcastChannel(`tidegate:${place}`);
const talk = new Talk();
const own = new Own();
const socket = new Socket({ base, onState: showConnection });

/** This tab, for the others, also after a refresh; and this page, to know its own arrival among all of them. */
const MEMBER = `tidegate:${place}:member`;
const member = sessionStorage.getItem(MEMBER) ?? newKey();
sessionStorage.setItem(MEMBER, member);
const visit = newKey();

let name = ownName();
/** Who the server takes us for; known once the own arrival comes back, when all that was said before has been read. */
let principal = '';
/** The `keyNumber` that the connection was opened with. */
let socketKey = 0;
/** @type {string[]} */
let models = [];
/** @type {Map<string, Outgoing>} Own messages on their way. */
const outbox = new Map();
/** @type {Map<string, string>} The model that is asked once the message with the id has arrived. */
const questions = new Map();

const answers = new Answers({
  socket,
  tell,
  own,
  add: append,
  principal: () => principal,
});
const attendance = new Attendance(socket, topic, talk);

// Coming and going.

/** @param {string} chosen */
function enter(chosen) {
  name = chosen;
  $('rename').textContent = name;
  $('rename').setAttribute('aria-label', `Your name: ${name}`);
  $('rename').hidden = false;
  if (principal) hello();
  else join();
  $('prompt').focus();
}

function join() {
  socket.subscribe(topic, { after: 'earliest', onEvent: take, onRefused: refused });
  connect();
  hello();
  loadModels();
}

async function hello() {
  try {
    await tell({ kind: 'hello', visit });
  } catch (error) {
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
 * Publishes to the room.
 *
 * @param {object} data
 * @param {string} [key]
 */
function tell(data, key = newKey()) {
  return socket.call('publish', { topic, key, data: { ...data, member, name } });
}

// What comes in.

/** @param {import('./tidegate.js').StreamEvent} event */
function take(event) {
  if (event.type === 'presence') attendance.lookSoon();
  if (event.type === 'gap') showGap();
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

/** @param {import('./talk.js').Said} said @param {import('./talk.js').Said | Answer | undefined} before */
function showSaid(said, before) {
  const isOwn = own.shows(said);
  append(saidView(said, isOwn, before));
  if (principal && !isOwn) announce(`${said.name}: ${said.text}`);
  if (!isOwn) return;
  outbox.get(said.id)?.node.remove();
  outbox.delete(said.id);
  const model = questions.get(said.id);
  questions.delete(said.id);
  if (model) answers.ask(model, talk.conversation());
}

function showGap() {
  const line = document.createElement('li');
  line.className = 'entry lost';
  line.textContent = 'Some of what was said here is no longer kept.';
  append(line);
}

/** @param {HTMLElement} node */
function append(node) {
  $('welcome').hidden = true;
  $('log').append(node);
  keepAtEnd();
}

// What goes out.

/** @param {string} model The one to answer; empty for none. */
function say(model) {
  const text = $('prompt').value.trim();
  if (!text) return;
  if (!name) {
    askForName(enter);
    return;
  }
  const id = newKey();
  own.say(id);
  const asked = model || addressee(text, models);
  if (asked) questions.set(id, asked);
  const outgoing = new Outgoing(text);
  outbox.set(id, outgoing);
  $('outbox').append(outgoing.node);
  send(id, text, outgoing);
  $('prompt').value = '';
  fitPrompt();
  showControls();
  scrollToEnd();
}

/** @param {string} id @param {string} text @param {Outgoing} outgoing */
function send(id, text, outgoing) {
  tell({ kind: 'text', id, text }, id).catch((error) => {
    outgoing.showFailure(sentence(messageOf(error)), () => send(id, text, outgoing));
    announce(`Not sent: ${messageOf(error)}`);
    keepAtEnd();
  });
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
  if (state === 'ended') {
    const { error } = detail;
    if (wantsKey(error)) askForKey(socketKey, connect);
    else showNotice(sentence(messageOf(error)));
    return;
  }
  answers.showConnection(state, detail);
  if (state === 'streaming') {
    showNotice('');
    return;
  }
  if (state === 'offline') {
    showNotice('The server cannot be reached. What was said meanwhile follows by itself.', 'Try again', detail.retry);
  }
}

function connect() {
  socketKey = keyNumber();
  socket.open();
}

/** @param {unknown} error */
function refused(error) {
  showNotice(sentence(messageOf(error)));
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
  $('mention').querySelector('b').textContent = `@${$('model').value}`;
  $('ask').title = `Sends, and asks ${$('model').value}`;
}

async function signOut() {
  try {
    await endSession({ base });
  } catch (error) {
    showNotice(`You are still signed in: ${sentence(messageOf(error))}`, 'Try again', signOut);
    return;
  }
  noteKey(false);
  tabs.postMessage('signed out');
  location.reload();
}

$('composer').addEventListener('submit', (/** @type {Event} */ event) => {
  event.preventDefault();
  say('');
});
$('prompt').addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  say('');
});
$('prompt').addEventListener('input', () => {
  fitPrompt();
  showControls();
});
$('ask').addEventListener('click', () => say($('model').value));
$('model').addEventListener('change', showModel);
$('rename').addEventListener('click', () => askForName(enter));
$('sign-out').addEventListener('click', signOut);
tabs.addEventListener('message', () => location.reload());
addEventListener('pagehide', leave);
addEventListener('pageshow', ({ persisted }) => persisted && hello());

document.title = `${topic} · tidegate`;
$('title').textContent = topic;
showSignOut();
if (name) enter(name);
else askForName(enter);
