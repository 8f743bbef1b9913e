/** Where a reader was, for the time after a refresh. */

const PREFIX = 'tidegate:place:';

/**
 * What `remember` has kept in this tab.
 *
 * @param {string} key
 * @returns {{id: string, cursor: string} | null} The stream's id, or the topic's name, and the last position.
 */
export function remembered(key) {
  try {
    // What is not there is `null`, in JSON, too.
    return JSON.parse(/** @type {any} */ (sessionStorage.getItem(PREFIX + key)));
  } catch {
    return null;
  }
}

/** @param {string} key @param {string} id @param {string} cursor */
export function remember(key, id, cursor) {
  try {
    sessionStorage.setItem(PREFIX + key, JSON.stringify({ id, cursor }));
  } catch {
    // There is none here, or it is full, or forbidden: then a refresh begins anew.
  }
}
