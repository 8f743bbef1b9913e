/** Where questions are written: the field, its draft, its buttons and its hint. */

import { t } from './language.js';
import { $, announce, fitPrompt, isComposing } from './page.js';

const DRAFT_EVERY_MS = 300;

export class Composer {
  /** @param {{send: (text: string) => Promise<boolean>, stop: () => void, keepDraft: (text: string) => void}} on */
  constructor({ send, stop, keepDraft }) {
    this._send = send;
    this._keepDraft = keepDraft;
    this._answering = false;
    this._usualHint = [...$('hint').childNodes];
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._keeping = undefined;
    $('composer').addEventListener('submit', (/** @type {Event} */ event) => {
      event.preventDefault();
      this._submit();
    });
    $('prompt').addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => this._press(event));
    $('prompt').addEventListener('input', () => this._changed());
    $('stop').addEventListener('click', stop);
  }

  /** @param {boolean} answering Whether an answer is being written. */
  show(answering) {
    if (this._answering && !answering) this._hint();
    this._answering = answering;
    const focused = document.activeElement;
    $('send').hidden = answering;
    $('stop').hidden = !answering;
    $('send').disabled = !$('prompt').value.trim();
    const other = answering ? $('stop') : $('send');
    if (focused === (answering ? $('send') : $('stop'))) (other.disabled ? $('prompt') : other).focus();
  }

  /** @param {string} text Of the conversation that is opened. */
  open(text) {
    $('prompt').value = text;
    fitPrompt();
    this.show(this._answering);
  }

  /** Keeps what is written now, if it is not what is kept. */
  save() {
    if (this._keeping === undefined) return;
    clearTimeout(this._keeping);
    this._keeping = undefined;
    this._keepDraft($('prompt').value);
  }

  _changed() {
    fitPrompt();
    this.show(this._answering);
    this._keeping ??= setTimeout(() => this.save(), DRAFT_EVERY_MS);
  }

  /** @param {KeyboardEvent} event */
  _press(event) {
    if (event.key !== 'Enter' || event.shiftKey || isComposing(event)) return;
    event.preventDefault();
    if (this._answering) this._sayWhyNot();
    else this._submit();
  }

  async _submit() {
    const text = $('prompt').value.trim();
    if (!text || this._answering || !(await this._send(text))) return;
    // What was typed while the question was on its way is the next one's.
    if ($('prompt').value.trim() === text) $('prompt').value = '';
    this._changed();
  }

  _sayWhyNot() {
    const why = t('The answer is still being written. Your message stays here; Esc stops the answer.');
    this._hint(why);
    announce(why);
  }

  /** @param {string} [text] In place of what stands there. */
  _hint(text) {
    $('hint').classList.toggle('said', Boolean(text));
    $('hint').replaceChildren(...(text ? [text] : this._usualHint));
  }
}
