/** What the drawer says of a stream: the lines of its trace in words, and its figures. Pure. */

import { rateOf } from './ending.js';
import { number, t } from './language.js';

/**
 * @typedef {import('./trace.js').Line} Line
 * @typedef {import('./live.js').Live} Live
 */

/** OpenAI's rule of thumb for English, until the server has counted. */
const CHARACTERS_PER_TOKEN = 4;

/** A rate over less is a matter of chance. */
const LEAST_SECONDS = 0.5;

/** @type {Record<import('./trace.js').Kind, (line: Line) => string>} */
const WORDS = {
  asked: () => t('Asked'),
  'picked-up': ({ cursor = '' }) => t('Picked up after {cursor}, when the page was opened', { cursor }),
  connected: () => t('Connected'),
  first: () => t('The first piece'),
  cut: ({ cursor = '' }) => t('Cut by you, after {cursor}', { cursor }),
  broke: ({ cursor = '' }) => t('The connection broke, after {cursor}', { cursor }),
  again: ({ seconds = 0 }) => t('Tries again in {seconds} s', { seconds: figure(seconds) }),
  failed: () => t('It failed'),
  offline: () => t('Offline: waits for a sign of the network'),
  resumed,
  gap: () => t('The server no longer had that place, and sent the whole'),
  completed: () => t('Complete'),
  cancelled: () => t('Stopped'),
};

/** @param {Line} line */
function resumed({ cursor = '', characters = 0 }) {
  if (!characters) return t('Resumed after {cursor}', { cursor });
  return t('Resumed after {cursor}: {count} characters had come meanwhile', { cursor, count: number(characters) });
}

/** @param {Line} line */
export function lineOf(line) {
  return WORDS[line.kind](line);
}

/**
 * What matters, in a sentence.
 *
 * @param {Live} live
 * @param {boolean | null} same Whether the server has the same words; null until it was asked.
 */
export function verdictOf({ trace }, same) {
  const { reconnects, gaps } = trace.counts;
  if (same === false) return t('The server has other words than this page: refresh it.');
  if (gaps) return t('A place in the stream was no longer kept, so the whole was fetched anew.');
  if (same && reconnects) return t('The connection broke, and yet this is word for word what the server has.');
  if (same) return t('Word for word what the server has.');
  if (trace.breaks.at(-1)?.to === null) return t('The connection is gone. Whatever the server writes meanwhile, it keeps.');
  if (reconnects) return t('The connection broke, and nothing was lost or shown twice.');
  return t('Nothing lost, nothing twice. Cut the connection, and see it come back.');
}

/**
 * @param {Live} live
 * @param {{readers: number | null, transport: string, now: number}} known
 * @returns {[string, string][]}
 */
export function factsOf(live, { readers, transport, now }) {
  const { trace } = live;
  const { events, reconnects, duplicates, gaps } = trace.counts;
  return [
    [t('Position'), trace.cursor || '–'],
    [t('Events received'), number(events)],
    [t('Reconnects'), number(reconnects)],
    [t('Duplicates'), number(duplicates)],
    [t('Gaps'), number(gaps)],
    [t('First piece'), trace.firstMs === null ? '–' : t('{seconds} s', { seconds: figure(trace.firstMs / 1000) })],
    [t('Tokens/s'), rate(live, now)],
    [t('Readers'), readers === null ? '–' : number(readers)],
    [t('Transport'), transport === 'websocket' ? 'WebSocket' : 'SSE'],
  ];
}

/** @param {number} seconds */
export function figure(seconds) {
  return number(seconds, { minimumFractionDigits: 1, maximumFractionDigits: seconds < 1 ? 2 : 1 });
}

/** That of the line below the answer, as soon as that says one. @param {Live} live @param {number} now */
function rate({ trace, turn }, now) {
  if (turn.status !== 'live') return rateOf(turn) || '–';
  const seconds = trace.firstMs === null ? 0 : (trace.elapsed(now) - trace.firstMs) / 1000;
  if (seconds < LEAST_SECONDS) return '–';
  return t('about {count}', { count: figure(trace.characters / CHARACTERS_PER_TOKEN / seconds) });
}
