/** What a page has kept of its reader: nothing of it is left for the next one on a shared computer. */

import { place } from './page.js';
import { local, session } from './storage.js';

const PREFIX = `tidegate:${place}:`;

/** That there is a cookie, and by whose key, holds until the server has taken it back. */
export const GIVEN = `${PREFIX}key-given`;

/** The language and the theme stay: they have no place. */
export function forget() {
  for (const store of [local, session]) {
    for (const name of store.names(PREFIX)) if (name !== GIVEN) store.remove(name);
  }
}

/** Whether there is anything to read of what somebody has asked here. */
export function hasKept() {
  return local.names(`${PREFIX}conversation:`).length + local.names(`${PREFIX}draft:`).length > 0;
}

// The other tabs.

const tabs = new BroadcastChannel(`tidegate:${place}`);

/** Who reads there is not, or not any more, whose key it is. */
export function sendOthersAway() {
  tabs.postMessage('signed out');
}

/** @param {() => void} clear What only this page has. */
export function whenSentAway(clear) {
  tabs.addEventListener('message', () => {
    clear();
    forget();
    location.reload();
  });
}
