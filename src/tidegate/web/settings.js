/** What the reader has chosen: the system prompt, the transport, the language, the theme; and the panel for it. */

import { chooseLanguage, language } from './language.js';
import { $, place } from './page.js';
import { local } from './storage.js';

const SYSTEM = `tidegate:${place}:system`;
const TRANSPORT = `tidegate:${place}:transport`;

/** The theme is the reader's, wherever a server is mounted: `theme.js` sets it before the page is shown. */
const THEME = 'tidegate:theme';

export const settings = {
  get system() {
    return (local.get(SYSTEM) ?? '').trim();
  },

  /** @returns {'sse' | 'websocket'} */
  get transport() {
    return local.get(TRANSPORT) === 'websocket' ? 'websocket' : 'sse';
  },
};

/** @param {string} name @param {string} value The usual is not kept. @param {string} usual */
function keep(name, value, usual) {
  if (value === usual) local.remove(name);
  else local.set(name, value);
}

function open() {
  $('system').value = local.get(SYSTEM) ?? '';
  $('transport').value = settings.transport;
  $('language').value = language;
  $('theme').value = local.get(THEME) ?? 'system';
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
