/**
 * How an answer stands while it is followed, in words: the connection first, then what the model does. Pure.
 *
 * @typedef {object} Standing
 * @property {string} state Of the client.
 * @property {boolean} stopping
 * @property {string} waiting What it waits for, besides the server; empty for nothing.
 * @property {string} refusal What the server said to the last try; empty where it could not be reached.
 * @property {number} again When the next try is due, in milliseconds; 0 for now.
 * @property {number} brokenAt When the connection broke, in milliseconds; 0 where it stands.
 * @property {number | null} place In the queue, from 1; null where nothing is known.
 * @property {string} doing The type of the last piece: `delta`, `reasoning`, `tool_call`; empty before the first.
 * @property {string} tool The name of the tool that is called.
 *
 * @typedef {{words: string, retry: boolean}} Phase What is said, and whether its reader may have it tried at once.
 */

import { inert } from './inert.js';
import { t } from './language.js';

/** A break that is over sooner is not worth counting down. */
const PATIENT_MS = 2000;

const DOING = {
  '': t('Waiting for the first word'),
  delta: t('Writing'),
  reasoning: t('Thinking'),
};

/** @param {Standing} standing @param {number} now @returns {Phase} */
export function phaseOf(standing, now) {
  const { state, waiting, stopping } = standing;
  if (waiting) return { words: waiting, retry: false };
  if (stopping) return { words: t('Stopping'), retry: false };
  if (state === 'offline') return { words: offline(standing), retry: true };
  if (state === 'reconnecting') return reconnecting(standing, now);
  return { words: state === 'connecting' ? t('Connecting') : doing(standing), retry: false };
}

/** @param {Standing} standing */
function doing({ place, doing: type, tool }) {
  if (place) return t('In the queue: number {place}', { place });
  if (type === 'tool_call') return tool ? t('Calling {tool}', { tool: inert(tool) }) : t('Calling a tool');
  return DOING[/** @type {keyof typeof DOING} */ (type)];
}

/** @param {Standing} standing */
function offline({ refusal }) {
  const why = refusal || t('The server cannot be reached.');
  return `${why} ${t('What has arrived is safe, and whatever follows comes by itself.')}`;
}

/** @param {Standing} standing @param {number} now @returns {Phase} */
function reconnecting({ refusal, again, brokenAt }, now) {
  const seconds = Math.ceil((again - now) / 1000);
  const retry = now - brokenAt >= PATIENT_MS || again - brokenAt >= PATIENT_MS;
  if (!retry && !refusal) return { words: t('Reconnecting'), retry };
  const why = refusal || t('The connection is gone.');
  const next = seconds > 0 ? t('Trying again in {seconds} s', { seconds }) : t('Trying again');
  return { words: `${why} ${next}`, retry };
}
