/** The link to an answer: made once, copied, shown, and taken back. */

import { copyText } from './clipboard.js';
import { explained } from './failures.js';
import { date, t } from './language.js';
import { onlyHere } from './loopback.js';
import { $, announce, base, keepAtEnd, place, showNotice } from './page.js';
import { request } from './request.js';
import { parsed, session } from './storage.js';
import { shareStream, unshareStream } from './tidegate.js';

/** @typedef {{token: string, url: string, expires_at: number}} Shared */

/** The links that this tab has made, by their streams: asked for again, an answer has the same one. */
const KEPT = `tidegate:${place}:links`;

/** A link with less time left than this, in seconds, is no longer handed out. */
const WORTH_SECONDS = 3600;

/** @type {Element | null} What had the focus before the link was shown, and gets it back. */
let opener = null;

/**
 * Makes a link to the answer, or finds the one there is, and shows it at the foot of the page. Rejects with a
 * `TidegateError`.
 *
 * @param {string} stream
 */
export async function share(stream) {
  opener = document.activeElement;
  const shared = (await found(stream)) ?? (await shareStream(stream, { base }));
  keep(stream, shared);
  const text = about(shared, await copyText(shared.url));
  $('link-text').textContent = text;
  $('link').href = $('link').textContent = shared.url;
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

/** @param {Shared} shared @param {boolean} copied */
function about({ url, expires_at: until }, copied) {
  const when = date(until, { weekday: 'long', hour: '2-digit', minute: '2-digit' });
  const text = t('Whoever has this link can read this answer until {when}.', { when });
  return [text, copied ? t('It has been copied.') : '', onlyHere(url)].filter(Boolean).join(' ');
}

/** @param {string} stream */
async function takeBack(stream) {
  try {
    await unshareStream(stream, { base });
  } catch (error) {
    showNotice(t('It is still shared: {why}', { why: explained(/** @type {Error} */ (error)) }));
    return;
  }
  keep(stream, undefined);
  hideLink();
  announce(t('It is no longer shared.'));
}

// What was made before.

/**
 * The link that this tab has made, while it holds: another tab may have taken it back.
 *
 * @param {string} stream
 * @returns {Promise<Shared | undefined>}
 */
async function found(stream) {
  const shared = links()[stream];
  if (!shared || shared.expires_at - Date.now() / 1000 < WORTH_SECONDS) return undefined;
  const holds = await request('GET', `s/${shared.token}`, { base }).then(
    () => true,
    () => false,
  );
  return holds ? shared : undefined;
}

/** @param {string} stream @param {Shared | undefined} shared */
function keep(stream, shared) {
  session.set(KEPT, JSON.stringify({ ...links(), [stream]: shared }));
}

/** @returns {Record<string, Shared>} */
function links() {
  return parsed(session.get(KEPT)) ?? {};
}

$('link-close').addEventListener('click', hideLink);
