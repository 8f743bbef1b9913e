/** How an answer ended, in words and in figures. Pure. */

import { explained } from './failures.js';
import { number, t } from './language.js';
import { isEmpty, tookOf } from './turn.js';

/** @typedef {import('./turn.js').Turn} Turn */

/** A rate over less is a matter of chance. */
const LEAST_SECONDS = 0.2;

const REASONS = new Map(Object.entries({
  length: t('Cut at the length limit'),
  content_filter: t('Cut by a content filter'),
  disconnect: t('Stopped: nobody was listening'),
  server: t('Stopped by the server'),
}));

/** In a word or a sentence; nothing where there is nothing to say. @param {Turn} turn */
export function endOf(turn) {
  const { status, error, code, reason } = turn;
  if (status === 'failed') return explained({ code, message: error });
  if (status === 'lost') return lost(turn);
  if (reason) return REASONS.get(reason) ?? reason;
  if (status === 'cancelled') return t('Stopped');
  return isEmpty(turn) ? t('The answer is empty') : '';
}

/** @param {Turn} turn */
function lost({ error, code, text }) {
  const why = code === 'not_kept' ? t('This browser has not kept the answer.') : explained({ code, message: error });
  return text ? `${why} ${t('This is what had arrived.')}` : why;
}

/** The model, what it took, and how fast it was. @param {Turn} turn */
export function measured(turn) {
  const took = tookOf(turn);
  const { models, seconds } = took;
  const lasted = seconds === null ? '' : t('{seconds} s', { seconds: figure(seconds) });
  const rate = rateOf(turn);
  const fast = rate && t('{rate} tokens/s', { rate });
  return [models.join(' + '), tokens(took), lasted, fast].filter(Boolean).join(' · ');
}

/**
 * Tokens per second from the first token on: what came before it was waiting.
 *
 * @param {Turn} turn One that has ended.
 * @returns {string} Empty where it is not known.
 */
export function rateOf(turn) {
  const { tokens: count, seconds, waited } = tookOf(turn);
  const wrote = (seconds ?? 0) - waited;
  return !count || count < 2 || wrote < LEAST_SECONDS ? '' : figure(count / wrote);
}

/** @param {import('./turn.js').Took} took */
function tokens({ tokens: count, estimated }) {
  if (!count) return '';
  if (count === 1) return estimated ? t('about 1 token') : t('1 token');
  return estimated ? t('about {count} tokens', { count: number(count) }) : t('{count} tokens', { count: number(count) });
}

/** @param {number} value */
function figure(value) {
  const digits = value < 100 ? 1 : 0;
  return number(value, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
