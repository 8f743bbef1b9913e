/** The link to an answer: made, copied, shown, and taken back. */

import { $, announce, keepAtEnd, showNotice } from './page.js';
import { shareStream, unshareStream } from './tidegate.js';

/** @type {Element | null} What had the focus before the link was shown, and gets it back. */
let opener = null;

/**
 * Makes a link to the answer, and shows it at the foot of the page. Rejects with a `TidegateError`.
 *
 * @param {string} stream
 */
export async function share(stream) {
  opener = document.activeElement;
  const { url, expires_at: until } = await shareStream(stream);
  const copied = await copy(url);
  const text = `Whoever has this link can read this answer until ${when(until)}.${copied ? ' It has been copied.' : ''}`;
  $('link-text').textContent = text;
  $('link').href = $('link').textContent = url;
  $('link-stop').onclick = () => takeBack(stream);
  $('link-box').hidden = false;
  announce(text);
  keepAtEnd();
}

export function hideLink() {
  const had = $('link-box').contains(document.activeElement);
  $('link-box').hidden = true;
  if (had && opener instanceof HTMLElement) opener.focus();
  keepAtEnd();
}

/** @param {string} stream */
async function takeBack(stream) {
  try {
    await unshareStream(stream);
  } catch (error) {
    showNotice(`It is still shared: ${/** @type {Error} */ (error).message}`);
    return;
  }
  hideLink();
  announce('It is no longer shared.');
}

/**
 * Browsers give the clipboard to secure origins only, and to whom they please.
 *
 * @param {string} text
 */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** @param {number} time In Unix seconds. */
function when(time) {
  const parts = /** @type {const} */ ({ weekday: 'long', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  return new Intl.DateTimeFormat('en', parts).format(time * 1000);
}

$('link-close').addEventListener('click', hideLink);
