/**
 * The language of the pages. Texts are written in English where they are used, and looked up by themselves.
 *
 * A page shows `t('Stop')`, or `t('Again in {seconds} s', { seconds: 3 })`. An element of a page's own HTML that has
 * the attribute `data-t` is translated by what it says itself, around its children, and by what its attributes say.
 * The language stays what it is for as long as the page does, so a text may be looked up when a module is loaded.
 */

import { local } from './storage.js';

const KEPT = 'tidegate:language';

/** @typedef {'en' | 'zh'} Language */

/** @type {Record<Language, string>} */
const TAGS = { en: 'en', zh: 'zh-CN' };

/** What HTML says in attributes. */
const SAID_IN = ['aria-label', 'placeholder', 'title', 'content'];

/** None where a browser keeps them to itself. */
const wanted = navigator.languages ?? [];

/** What the reader has chosen before, else the first that the browser asks for. */
export const language = known(local.get(KEPT)) ?? wanted.map(known).find(Boolean) ?? 'en';

/** For dates and numbers: the reader's own kind of the language, where there is one. */
const locale = wanted.find((tag) => known(tag) === language) ?? TAGS[language];

/** @type {Record<string, string>} */
const words = language === 'zh' ? (await import('./chinese.js')).CHINESE : {};

/**
 * @param {string} text In English.
 * @param {Record<string, string | number>} [values] What stands for the `{names}` in it.
 */
export function t(text, values = {}) {
  return (words[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/** @param {number} value @param {Intl.NumberFormatOptions} [options] */
export function number(value, options) {
  return new Intl.NumberFormat(locale, options).format(value);
}

/** @param {number} at In Unix seconds. @param {Intl.DateTimeFormatOptions} options */
export function date(at, options) {
  return new Intl.DateTimeFormat(locale, { hourCycle: 'h23', ...options }).format(at * 1000);
}

/** Translates what the page's HTML says. */
export function translatePage() {
  document.documentElement.lang = TAGS[language];
  for (const element of document.querySelectorAll('[data-t]')) {
    for (const node of element.childNodes) if (node instanceof Text) node.data = around(node.data);
    for (const name of SAID_IN) {
      const said = element.getAttribute(name);
      if (said) element.setAttribute(name, t(said));
    }
  }
}

/** @param {Language} chosen */
export function chooseLanguage(chosen) {
  local.set(KEPT, chosen);
  location.reload();
}

/**
 * Translates a text of the HTML, and leaves the space around it.
 *
 * @param {string} text
 */
function around(text) {
  const [, before, said, after] = /** @type {RegExpExecArray} */ (/^(\s*)([^]*?)(\s*)$/.exec(text));
  return before + t(said.replace(/\s+/g, ' ')) + after;
}

/** @param {string | null} tag @returns {Language | undefined} */
function known(tag) {
  const [name] = (tag ?? '').split('-');
  return name === 'en' || name === 'zh' ? name : undefined;
}
