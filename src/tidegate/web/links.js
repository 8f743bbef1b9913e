/**
 * Where a text of Markdown leads to: destinations in brackets, addresses that stand by themselves. Pure.
 *
 * Only pages and mail are led to. What else is written as a link is text.
 *
 * @typedef {{href: string, to: number}} Destination `to`: behind it.
 */

import { withoutEntities } from './entities.js';

const SCHEMES = new Set(['http:', 'https:', 'mailto:']);

/** Longer ones are text: no server takes them. */
const LONGEST = 2000;
const DEEPEST_PARENTHESES = 32;

const ESCAPED = /\\([!-/:-@[-`{-~])/g;
const BLANKS = /[ \t]*\n?[ \t]*/y;
const IN_ANGLES = /<((?:\\.|[^\\<>\n])*)>/y;
const TITLE = /"(?:\\[^]|[^\\"])*"|'(?:\\[^]|[^\\'])*'|\((?:\\[^]|[^\\()])*\)/y;
const AUTOLINK = /<((?:https?:\/\/|mailto:)[^\s<>]{1,2000})>|<([\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,8})>/iy;

/** Letters of scripts that are written without spaces do not belong to an address beside them. */
const SPACED = '(?![\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Hangul}])';
const ADDRESS = new RegExp(`(?:https?://|www\\.)(?:${SPACED}[\\p{L}\\p{N}!#$%&'()+,\\-./:;=?@_~]){1,2000}`, 'iuy');
const INSIDE_WORD = new RegExp(`${SPACED}[\\p{L}\\p{N}_]`, 'u');
const LONGEST_BEGINNING = 'https://'.length;
const TRAILING = /[?!.,:;*_~'"]/;

/** @param {string} source @returns {string | undefined} Where it leads to, if anybody may be led there. */
export function hrefOf(source) {
  const href = withoutEntities(source.replace(ESCAPED, '$1'));
  if (!/^(?:https?:\/\/[^/]|mailto:.)/i.test(href) || /[\s\0-\x1f]/.test(href)) return undefined;
  try {
    return SCHEMES.has(new URL(href).protocol) ? href : undefined;
  } catch {
    return undefined;
  }
}

/**
 * @param {string} text
 * @param {number} at Behind the `]` of a link.
 * @returns {Destination | 'begun' | undefined} `begun`: it may be one with what follows.
 */
export function destinationAt(text, at) {
  if (at >= text.length) return 'begun';
  if (text[at] !== '(') return undefined;
  const limited = text.length > at + LONGEST ? text.slice(0, at + LONGEST) : text;
  const end = destinationEnd(limited, at + 1);
  if (end?.to !== undefined && limited[end.to] === ')') {
    const href = hrefOf(end.source);
    return href ? { href, to: end.to + 1 } : undefined;
  }
  return end && end.to === undefined && limited === text ? 'begun' : undefined;
}

/**
 * @param {string} text
 * @param {number} at
 * @returns {{source: string, to: number | undefined} | undefined} `to`: where the `)` has to be; none where the text ends
 * before that.
 */
function destinationEnd(text, at) {
  let to = behind(BLANKS, text, at);
  const inAngles = text[to] === '<';
  const begin = inAngles ? to + 1 : to;
  to = inAngles ? behind(IN_ANGLES, text, to) : bareEnd(text, to);
  if (to < 0) return /[<\n]/.test(text.slice(begin)) ? undefined : { source: '', to: undefined };
  const source = text.slice(begin, inAngles ? to - 1 : to);
  const next = behind(BLANKS, text, to);
  if (next > to && /["'(]/.test(text[next] ?? '')) {
    to = behind(TITLE, text, next);
    if (to < 0) return { source, to: undefined };
    to = behind(BLANKS, text, to);
  } else {
    to = next;
  }
  return { source, to: to < text.length ? to : undefined };
}

/** @param {string} text @param {number} at Where an address that is not in angles ends. */
function bareEnd(text, at) {
  let depth = 0;
  for (; at < text.length; at += 1) {
    const character = text[at];
    if (character === '\\') at += 1;
    else if (character <= ' ' || character === '<') break;
    else if (character === '(') depth += 1;
    else if (character === ')') depth -= 1;
    if (depth < 0 || depth > DEEPEST_PARENTHESES) break;
  }
  return Math.min(at, text.length);
}

/** @param {RegExp} pattern @param {string} text @param {number} at @returns {number} Below 0 where it is not there. */
function behind(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.test(text) ? pattern.lastIndex : -1;
}

/** @param {string} text @param {number} at Of a `<`. @returns {(Destination & {words: string}) | undefined} */
export function autolinkAt(text, at) {
  AUTOLINK.lastIndex = at;
  const found = AUTOLINK.exec(text);
  if (!found) return undefined;
  const words = found[1] ?? found[2];
  const href = hrefOf(found[1] ?? `mailto:${found[2]}`);
  return href === undefined ? undefined : { href, words, to: AUTOLINK.lastIndex };
}

/**
 * @param {string} text
 * @param {number} at
 * @returns {{link: (Destination & {words: string}) | undefined, reach: number}} `reach`: behind what may be part of it with
 * what follows.
 */
export function addressAt(text, at) {
  ADDRESS.lastIndex = at;
  if (INSIDE_WORD.test(text[at - 1] ?? ' ')) return { link: undefined, reach: at };
  const found = ADDRESS.exec(text);
  if (!found) return { link: undefined, reach: Math.min(text.length, at + LONGEST_BEGINNING) };
  const words = withoutTrail(found[0]);
  const href = hrefOf(/^www/i.test(words) ? `https://${words}` : words);
  return { link: href === undefined ? undefined : { href, words, to: at + words.length }, reach: ADDRESS.lastIndex };
}

/** @param {string} address What ends a sentence, or closes a bracket before it, is none of it. */
function withoutTrail(address) {
  let end = bareEnd(address, 0);
  while (TRAILING.test(address[end - 1] ?? '')) end -= 1;
  return address.slice(0, end);
}
