/** Characters that are written by their names or numbers, `&lt;` and `&#60;`: those that models use. Pure. */

import { inert } from './inert.js';

/** @type {Record<string, string>} */
const NAMED = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: '\u00a0',
  copy: '©',
  reg: '®',
  trade: '™',
  deg: '°',
  times: '×',
  divide: '÷',
  plusmn: '±',
  middot: '·',
  bull: '•',
  hellip: '…',
  ndash: '–',
  mdash: '—',
  lsquo: '‘',
  rsquo: '’',
  ldquo: '“',
  rdquo: '”',
  larr: '←',
  rarr: '→',
  euro: '€',
};

const ENTITY = /&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|([a-zA-Z]{2,6}));/y;
const ENTITIES = new RegExp(ENTITY.source, 'g');
const BEGUN = /&(?:#?\w{0,8})$/y;

/**
 * @param {string} text
 * @param {number} at
 * @returns {{text: string, to: number} | 'begun' | undefined} `begun`: it may be one with what follows.
 */
export function entityAt(text, at) {
  ENTITY.lastIndex = BEGUN.lastIndex = at;
  const found = ENTITY.exec(text);
  const character = found && decoded(found);
  if (found && character) return { text: character, to: ENTITY.lastIndex };
  return !found && BEGUN.test(text) ? 'begun' : undefined;
}

/** @param {string} text */
export function withoutEntities(text) {
  return text.includes('&') ? text.replace(ENTITIES, (...found) => decoded(found) || found[0]) : text;
}

/** @param {(string | undefined)[]} found */
function decoded([, decimal, hex, name]) {
  if (name) return Object.hasOwn(NAMED, name) ? NAMED[name] : '';
  const code = hex ? parseInt(hex, 16) : Number(decimal);
  const isCharacter = code > 0 && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
  return isCharacter ? inert(String.fromCodePoint(code)) : '\ufffd';
}
