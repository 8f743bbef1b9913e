/** Whose key it is, as far as a browser has to know: whether it is the one of before. Pure. */

import { parsed } from './storage.js';

const SEED = 0x811c9dc5;
const PRIME = 0x01000193;

/**
 * A mark of the key's owner. It has 32 bits: enough to tell two apart, and too few to say anything of a key.
 * `crypto.subtle` is not there on plain http.
 *
 * @param {string} key An API key or JWT; the tokens that somebody gets one after the other have the same mark.
 */
export function markOf(key) {
  let mark = SEED;
  for (const letter of subjectOf(key) || key) {
    mark = Math.imul(mark ^ /** @type {number} */ (letter.codePointAt(0)), PRIME);
  }
  return (mark >>> 0).toString(36);
}

/** @param {string} key */
function subjectOf(key) {
  const parts = key.split('.');
  const { iss, sub } = parsed(parts.length === 3 ? text(parts[1]) : null) ?? {};
  return typeof sub === 'string' ? `${iss} ${sub}` : '';
}

/** @param {string} payload In base64url. */
function text(payload) {
  try {
    return atob(payload.replaceAll('-', '+').replaceAll('_', '/'));
  } catch {
    return null;
  }
}
