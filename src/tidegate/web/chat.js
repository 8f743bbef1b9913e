/** The chat page: its conversations, which of them is open, and what happens when someone asks, stops or shares. */

import { copyAloud } from './acts.js';
import { Composer } from './composer.js';
import { Conversation } from './conversation.js';
import { Drafts } from './drafts.js';
import { drawer } from './drawer.js';
import { explained } from './failures.js';
import { forget, whenSentAway } from './forget.js';
import { askForKey, keyNumber, showSignOut, wantsKey } from './key.js';
import { t } from './language.js';
import { signOut } from './leaving.js';
import { chosenModel, loadModels, whenChosen } from './models.js';
import { $, messageOf, place, scrollToEnd, showNotice } from './page.js';
import { askForTitle } from './renaming.js';
import { hideLink, share } from './sharing.js';
import { Shelf } from './shelf.js';
import { closeSidebar, focusConversation, showConversations } from './sidebar.js';
import { local, session } from './storage.js';
import { Thread } from './thread.js';
import { cancelStream, TidegateError } from './tidegate.js';
import { onSeen, showTitle } from './title.js';
import { showWelcome } from './welcome.js';

const UNDO_MS = 10_000;

/** Who signs out waits so long for their answers to be stopped, and then leaves all the same. */
const CANCEL_MS = 3000;

const shelf = new Shelf(local, place, { onFull: tellFull, onRemoved: tellRemoved });
const drafts = new Drafts(session, local, place);
/** @type {Map<string, Thread>} Those that were opened here: what is being written goes on while another is read. */
const threads = new Map();
const composer = new Composer({ send, stop, keepDraft });
let thread = newThread();
let isFullTold = false;

// Opening.

/** @param {string} [id] Default: one that has not begun. */
function newThread(id = newId()) {
  const hooks = { onChange: showState, onTurn: showList, model: chosenModel, share: shareTurn };
  return new Thread(new Conversation(shelf, id), hooks);
}

/** Short, since it stands in the address of the page. */
function newId() {
  return Array.from(crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join('');
}

/** @param {string} id Of a conversation; one that is not kept, or none, opens a new one. */
function open(id) {
  composer.save();
  const kept = id && shelf.read(id);
  const known = threads.get(id);
  thread = kept ? known ?? newThread(id) : newThread();
  if (kept) threads.set(id, thread);
  $('thread').replaceChildren(thread.node);
  if (known === thread) thread.reload();
  thread.showNow();
  composer.open(drafts.read(draftName()));
  hideLink();
  showList();
  scrollToEnd();
}

/** @param {string} id A step of the browser's history. */
function goTo(id) {
  open(id);
  history.pushState(null, '', id ? `#${id}` : location.pathname + location.search);
  $('prompt').focus();
}

const openNamed = () => open(location.hash.slice(1));

/** @param {string} id */
function close(id) {
  threads.get(id)?.leave();
  threads.delete(id);
}

/** @param {string} id */
function rename(id) {
  askForTitle(shelf.read(id)?.title ?? '', (title) => {
    if (title) shelf.rename(id, title);
    if (threads.has(id)) threads.get(id)?.reload();
    else showList();
    focusConversation(id);
  });
}

/** @param {string} id */
function remove(id) {
  const removed = shelf.remove(id);
  drafts.drop(id);
  close(id);
  if (thread.conversation.id === id) goTo('');
  showList();
  if (!removed) return;
  const undo = () => {
    shelf.restore(removed);
    showNotice('');
    goTo(id);
  };
  const text = t('Deleted: {title}', { title: removed.entry.title });
  closeSidebar();
  showNotice(text, t('Undo'), undo, true);
  $('notice-action').focus();
  setTimeout(() => $('notice-text').textContent === text && showNotice(''), UNDO_MS);
}

// Asking.

/** @param {string} text */
async function send(text) {
  const asked = thread;
  const { id } = asked.conversation;
  const draft = draftName();
  if (!(await asked.ask(text))) return false;
  threads.set(id, asked);
  drafts.keep(draft, '');
  // Another one may have been opened meanwhile.
  if (thread === asked) {
    history.replaceState(null, '', `#${id}`);
    scrollToEnd();
  }
  return true;
}

function stop() {
  thread.stop();
}

/** @param {import('./turn.js').Turn} turn */
async function shareTurn(turn) {
  if (turn.prior) {
    offerCopy(turn.text);
    return;
  }
  const sentKey = keyNumber();
  try {
    await share(turn.id);
  } catch (error) {
    if (wantsKey(error)) askForKey(sentKey, () => shareTurn(turn));
    else showNotice(t('It could not be shared: {why}', { why: wordsOf(error) }));
  }
}

/** @param {string} text Of an answer that was continued: it has several streams, and a link leads to one. */
function offerCopy(text) {
  hideLink();
  const why = t('This answer came in parts, and a link shows one of them. It can be copied instead.');
  const copy = () => {
    showNotice('');
    copyAloud(text);
  };
  showNotice(why, t('Copy'), copy, true);
  $('notice-action').focus();
}

// Showing.

function showState() {
  const { live, latest, conversation } = thread;
  composer.show(live !== null);
  drawer.show(latest);
  showTitle(live, conversation.turns.at(-1), conversation.entry.title);
}

function showList() {
  const { conversation } = thread;
  $('welcome').hidden = conversation.entry.slots.length > 0;
  showConversations(shelf.list(), conversation.id, { open: goTo, rename, remove });
  showState();
}

function tellFull() {
  if (isFullTold) return;
  isFullTold = true;
  const text = t('This browser has no room left for this conversation: it is gone when the page is closed.');
  showNotice(text, t('Close'), () => showNotice(''));
}

/** @param {import('./shelf.js').Entry[]} entries */
function tellRemoved(entries) {
  for (const { id } of entries) close(id);
  const titles = entries.map(({ title }) => title).join(' · ');
  showNotice(t('To make room, the oldest went: {titles}', { titles }), t('Close'), () => showNotice(''), true);
}

/** @param {unknown} error */
function wordsOf(error) {
  return explained(error instanceof TidegateError ? error : { message: messageOf(error) });
}

// Keeping.

/** A draft of what has not begun is found by whoever begins. */
function draftName() {
  const { id } = thread.conversation;
  return shelf.read(id) ? id : '';
}

/** @param {string} text */
function keepDraft(text) {
  drafts.keep(draftName(), text);
}

function saveAll() {
  for (const each of threads.values()) each.save();
  composer.save();
}

/** @param {StorageEvent} event What another tab has kept. */
function takeOver({ key }) {
  const changed = shelf.changed(key);
  if (!changed) return;
  const other = threads.get(changed.id);
  const isFollowed = changed.key && other?.live?.turn.key === changed.key;
  if (other && !isFollowed && !other.reload()) lose(other);
  if (!changed.key) showList();
}

/** @param {Thread} gone Deleted in another tab; what is typed here is this tab's. */
function lose(gone) {
  close(gone.conversation.id);
  if (gone !== thread) return;
  if ($('prompt').value) keepDraft($('prompt').value);
  goTo('');
}

// Signing out.

async function stopAndSignOut() {
  // An answer can be stopped for as long as there is a key.
  const streams = shelf.list().flatMap(({ id, live }) => (live && new Conversation(shelf, id).live?.id) || []);
  leaveAll();
  const signal = AbortSignal.timeout(CANCEL_MS);
  await Promise.all(streams.map((id) => cancelStream(id, { signal }).catch(() => {})));
  await signOut();
}

/** A shared computer shows nothing of who has left. */
function leaveAll() {
  for (const each of threads.values()) each.leave();
  threads.clear();
  $('prompt').value = '';
  forget();
  closeSidebar();
  goTo('');
}

whenChosen((model) => showWelcome(model, send));
$('new').addEventListener('click', () => {
  closeSidebar();
  goTo('');
});
$('sign-out').addEventListener('click', stopAndSignOut);
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !event.isComposing && !document.querySelector('dialog[open]')) stop();
});
whenSentAway(leaveAll);
addEventListener('storage', takeOver);
addEventListener('popstate', openNamed);
addEventListener('pagehide', saveAll);
document.addEventListener('visibilitychange', saveAll);

onSeen(showState);
const typedBefore = $('prompt').value;
openNamed();
if (typedBefore && !$('prompt').value) composer.open(typedBefore);
showSignOut();
loadModels();
