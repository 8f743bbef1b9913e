/**
 * Conversations and turns as they are read back from a browser: another version of the page may have written them, or
 * anybody, so what is not of their shape is not there. Pure.
 *
 * @typedef {import('./shelf.js').Entry} Entry
 * @typedef {import('./shelf.js').Slot} Slot
 * @typedef {import('./turn.js').Turn} Turn
 */

import { parsed } from './storage.js';
import { newTurn } from './turn.js';

const STATUSES = ['live', 'completed', 'cancelled', 'failed', 'lost'];
const MAY_BE_NULL = ['firstAt', 'thoughtAt', 'seconds'];

/** @param {string | null} text @param {string} id @returns {Entry | null} */
export function entryIn(text, id) {
  const entry = parsed(text);
  const { title, at, live, slots } = entry ?? {};
  const isOne = typeof title === 'string' && Number.isFinite(at) && typeof live === 'boolean' && Array.isArray(slots);
  return isOne && entry.id === id && slots.every(isSlot) ? entry : null;
}

/** @param {string | null} text @param {string} key @returns {Turn | null} */
export function turnIn(text, key) {
  const turn = parsed(text);
  if (turn?.key !== key || !STATUSES.includes(turn.status)) return null;
  const whole = newTurn(turn);
  return hasKinds(whole) && whole.calls.every(isCall) ? whole : null;
}

/** @param {any} value */
function areNames(value) {
  return Array.isArray(value) && value.every((name) => typeof name === 'string');
}

/** @param {any} slot @returns {slot is Slot} */
function isSlot(slot) {
  const { turns, shown } = slot ?? {};
  return areNames(turns) && typeof turns[shown] === 'string';
}

/** @param {any} call */
function isCall(call) {
  return typeof call?.name === 'string' && typeof call.arguments === 'string';
}

/** @param {any} took */
function isTook(took) {
  const { models, tokens, seconds, waited } = took ?? {};
  const isCount = (/** @type {any} */ value) => value === null || Number.isFinite(value);
  return areNames(models) && isCount(tokens) && isCount(seconds) && Number.isFinite(waited);
}

/** @param {Record<string, any>} turn */
function hasKinds(turn) {
  const { usage, priorTook } = turn;
  if (usage !== null && !Number.isFinite(usage?.completion_tokens)) return false;
  if (priorTook !== null && !isTook(priorTook)) return false;
  return Object.entries(newTurn({})).every(([name, usual]) => {
    const value = turn[name];
    if (MAY_BE_NULL.includes(name)) return value === null || typeof value === 'number';
    return typeof value === typeof usual && Array.isArray(value) === Array.isArray(usual);
  });
}
