/** The question of a turn, and its edition in place. */

import { t } from './language.js';
import { button, iconButton, make } from './nodes.js';
import { isComposing, withFocusKept } from './page.js';

export class Asked {
  /** @param {string} question @param {((question: string) => void) | undefined} onEdit */
  constructor(question, onEdit) {
    this._question = question;
    this._onEdit = onEdit;
    this._edit = iconButton('edit', t('Edit the question'), () => this._open());
    this._edit.hidden = true;
    this._bubble = make('div', 'question', make('span', 'visually-hidden', t('You: ')), question);
    this.node = make('div', 'asked', this._edit, this._bubble);
  }

  /** @param {boolean} offered Where it no longer is, what was begun of it is left. */
  offerEdit(offered) {
    const hidden = !offered || !this._onEdit;
    if (this._edit.hidden === hidden) return;
    withFocusKept(() => {
      this._edit.hidden = hidden;
      if (hidden && !this.node.contains(this._bubble)) this._showQuestion();
    });
  }

  _open() {
    const field = /** @type {HTMLTextAreaElement} */ (make('textarea', ''));
    field.value = this._question;
    field.setAttribute('aria-label', t('Your question'));
    const ask = /** @type {HTMLButtonElement} */ (button(t('Ask'), () => {}, 'solid'));
    ask.type = 'submit';
    const end = make('div', 'editor-end', button(t('Cancel'), () => this._close(), 'quiet'), ask);
    const form = make('form', 'editor', field, end);
    form.addEventListener('submit', (event) => this._submit(event, field.value.trim()));
    form.addEventListener('keydown', (event) => this._press(event, /** @type {HTMLFormElement} */ (form)));
    this.node.replaceChildren(form);
    field.focus();
    field.setSelectionRange(field.value.length, field.value.length);
  }

  _close() {
    this._showQuestion();
    this._edit.focus();
  }

  _showQuestion() {
    this.node.replaceChildren(this._edit, this._bubble);
  }

  /** @param {Event} event @param {string} question */
  _submit(event, question) {
    event.preventDefault();
    if (!question) return;
    this._close();
    this._onEdit?.(question);
  }

  /** @param {KeyboardEvent} event @param {HTMLFormElement} form */
  _press(event, form) {
    if (event.key === 'Escape') {
      event.stopPropagation();
      this._close();
    } else if (event.key === 'Enter' && !event.shiftKey && !isComposing(event)) {
      event.preventDefault();
      form.requestSubmit();
    }
  }
}
