/** What the reader has chosen: the system prompt, the transport, the language, the theme; and the panel for it. */

import { chooseLanguage, language } from './language.js';
import { $, place } from './page.js';

const SYSTEM = `tidegate:${place}:system`;
const TRANSPORT = `tidegate:${place}:transport`;

/** The theme is the reader's, wherever a server is mounted: `theme.js` sets it before the page is shown. */
const THEME = 'tidegate:theme';

export const settings = {
  get system() {
    return (localStorage.getItem(SYSTEM) ?? '').trim();
  },

  /** @returns {'sse' | 'websocket'} */
  get transport() {
    return localStorage.getItem(TRANSPORT) === 'websocket' ? 'websocket' : 'sse';
  },
};

/** What the next visitor of a shared computer has no use for. */
export function forgetSettings() {
  localStorage.removeItem(SYSTEM);
}

/** @param {string} name @param {string} value The usual is not kept. @param {string} usual */
function keep(name, value, usual) {
  if (value === usual) localStorage.removeItem(name);
  else localStorage.setItem(name, value);
}

function open() {
  $('system').value = localStorage.getItem(SYSTEM) ?? '';
  $('transport').value = settings.transport;
  $('language').value = language;
  $('theme').value = localStorage.getItem(THEME) ?? 'system';
  $('settings-dialog').showModal();
}

/** @param {string} theme */
function chooseTheme(theme) {
  keep(THEME, theme, 'system');
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

$('settings').addEventListener('click', open);
$('settings-close').addEventListener('click', () => $('settings-dialog').close());
$('system').addEventListener('change', () => keep(SYSTEM, $('system').value, ''));
$('transport').addEventListener('change', () => keep(TRANSPORT, $('transport').value, 'sse'));
$('language').addEventListener('change', () => chooseLanguage($('language').value));
$('theme').addEventListener('change', () => chooseTheme($('theme').value));
