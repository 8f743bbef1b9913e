/** What stands where nothing was asked yet: what one could ask, and what the model is. */

import { language, t } from './language.js';
import { button, make } from './nodes.js';
import { $ } from './page.js';

/** The embedded model: it shows how a server answers; what it says is another matter. It speaks English. */
const DEMONSTRATION = 'smollm2';

/** What a very small model does well: it tells, and need not know. */
const ENGLISH = [
  'Write a short poem about the sea',
  'Write a letter from a lighthouse keeper',
  'Tell a short story about a fox and a boat',
];
const TRANSLATED = [
  t('Write a short poem about the sea'),
  t('Write a letter from a lighthouse keeper'),
  t('Tell a short story about a fox and a boat'),
];

/** @param {string} model The one that is chosen. @param {(question: string) => void} ask */
export function showWelcome(model, ask) {
  const isDemonstration = model === DEMONSTRATION;
  const questions = isDemonstration || language === 'en' ? ENGLISH : TRANSLATED;
  $('suggestions').replaceChildren(...questions.map((text) => make('li', '', button(text, () => ask(text), ''))));
  $('demonstration').hidden = !isDemonstration;
}
