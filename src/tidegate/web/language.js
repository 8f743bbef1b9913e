/**
 * The language of the pages. Texts are written in English where they are used, and looked up by themselves.
 *
 * A page shows `t('Stop')`, or `t('Again in {seconds} s', { seconds: 3 })`; an element of a page's own HTML that has the
 * attribute `data-t` is translated by its text, and by its `aria-label`, `placeholder` and `title`.
 */

import { CHINESE } from './chinese.js';

const KEPT = 'tidegate:language';

/** What the reader has chosen before, else what the browser asks for. */
export const language = localStorage.getItem(KEPT) ?? (navigator.language.startsWith('zh') ? 'zh' : 'en');

/**
 * @param {string} text In English.
 * @param {Record<string, string | number>} [values] What stands for the `{names}` in it.
 */
export function t(text, values = {}) {
  const words = language === 'zh' ? (CHINESE[text] ?? text) : text;
  return words.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/** Translates what the page's HTML says. */
export function translatePage() {
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en';
  for (const element of document.querySelectorAll('[data-t]')) {
    if (!element.firstElementChild) element.textContent = t(element.textContent?.trim() ?? '');
    for (const name of ['aria-label', 'placeholder', 'title']) {
      const said = element.getAttribute(name);
      if (said) element.setAttribute(name, t(said));
    }
  }
}

/** @param {'en' | 'zh'} chosen */
export function chooseLanguage(chosen) {
  localStorage.setItem(KEPT, chosen);
  location.reload();
}
