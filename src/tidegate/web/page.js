/** The page around what is read: its notice, its voice for screen readers, its scrolling. */

/** Closer to the end than this, in pixels, a reader is following the answer. */
const NEAR_END = 48;
const FAR = 1e9;
const SPOKEN_FOR_MS = 10_000;

/** Where the server is mounted. Its pages stand at different depths below that, and their scripts always at web/. */
export const base = new URL('..', import.meta.url);

/** Several servers may be mounted side by side on one origin: the path of this one, for the names of what it keeps. */
export const place = base.pathname;

/** @param {string} id */
export const $ = (id) => /** @type {any} */ (document.getElementById(id));

/**
 * What the server says, as a sentence among others.
 *
 * @param {string} text
 */
export function sentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.');
}

/** @param {unknown} error */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Says at the foot of the page what stands in the way; an empty text takes it back.
 *
 * @param {string} text
 * @param {string} [action]
 * @param {() => void} [run]
 * @param {boolean} [calm] Nothing is wrong.
 */
export function showNotice(text, action = '', run, calm = false) {
  if (text && $('notice').hidden) announce(text);
  withFocusKept(() => {
    $('notice').hidden = !text;
  });
  $('notice').classList.toggle('calm', calm);
  $('notice-text').textContent = text;
  $('notice-action').textContent = action;
  $('notice-action').onclick = run ?? null;
  keepAtEnd();
}

/**
 * Says it to a screen reader. An answer is said in whole paragraphs, as they are finished, instead of every token.
 *
 * @param {string} text
 */
export function announce(text) {
  const line = document.createElement('p');
  line.textContent = text;
  $('announcer').append(line);
  setTimeout(() => line.remove(), SPOKEN_FOR_MS);
}

/**
 * Changes the page, and gives the focus a place where what had it has vanished. The prompt would bring up a phone's
 * keyboard.
 *
 * @param {() => void} change
 */
export function withFocusKept(change) {
  const focused = document.activeElement;
  change();
  if (!(focused instanceof HTMLElement) || focused === document.body) return;
  if (focused.isConnected && focused.checkVisibility()) return;
  const next = matchMedia('(hover: none)').matches ? $('thread') : $('prompt');
  next?.focus({ preventScroll: true });
}

/** The key of an event whose key goes to an input method; Safari has nothing else to tell by when it ends. */
const TAKEN = 229;

/** @param {KeyboardEvent} event Whether it belongs to an input method, which makes Chinese of it. */
export function isComposing(event) {
  return event.isComposing || event.keyCode === TAKEN;
}

/** Where `field-sizing` is not known yet. */
export function fitPrompt() {
  if (CSS.supports('field-sizing', 'content')) return;
  $('prompt').style.height = 'auto';
  $('prompt').style.height = `${$('prompt').scrollHeight}px`;
}

let following = true;
let lastTop = 0;

/** Whether the page has changed by itself last, and not by what its reader does to it. */
let settling = true;

const below = () => document.documentElement.scrollHeight - innerHeight - scrollY;

/** Follows the answer as it grows, but only while its reader is at the end of the page. */
export function keepAtEnd() {
  settling = true;
  goToEnd();
  offerLatest();
}

function goToEnd() {
  // Further than there is: to ask how far would be to lay the page out once more.
  if (following) scrollTo({ top: FAR, behavior: 'instant' });
}

/** What is out of sight gets its size once it comes near. What a reader opens at the end, they want to see. */
function keepUp() {
  if (settling) goToEnd();
  // A page that has become shorter was not left by anybody.
  lastTop = scrollY;
}

function noteReader() {
  settling = false;
}

/** Who comes to what is there already begins where they are, and follows only if that is the end. */
export function stayHere() {
  following = below() < NEAR_END;
  offerLatest();
}

/** Who has gone up from the end of the page does not follow. One that has only grown was not left by anybody. */
function noteWhereReaderIs() {
  const wentUp = scrollY < lastTop;
  lastTop = scrollY;
  if (below() < NEAR_END) following = true;
  else if (wentUp) following = false;
  offerLatest();
}

/** Setting what is so already would have the browser look at its style again, in each frame. */
function offerLatest() {
  if ($('latest').hidden !== following) $('latest').hidden = following;
}

export function scrollToEnd() {
  following = true;
  keepAtEnd();
}

$('latest').addEventListener('click', scrollToEnd);
addEventListener('resize', keepAtEnd);
addEventListener('pointerdown', noteReader, { capture: true, passive: true });
addEventListener('keydown', noteReader, { capture: true });
// Without it a page that grows late is left a little above its end.
if (globalThis.ResizeObserver) new ResizeObserver(keepUp).observe(document.body);
addEventListener('scroll', noteWhereReaderIs, { passive: true });
