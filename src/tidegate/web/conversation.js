/**
 * One conversation: its questions and answers in their order, the versions of the last one, and what a model is sent.
 *
 * @typedef {import('./shelf.js').Shelf} Shelf
 * @typedef {import('./turn.js').Turn} Turn
 */

import { newTurn, tookOf } from './turn.js';

const TITLE_LENGTH = 60;

/** An answer is painted twenty times a second: what comes between two paintings comes in one piece, which spares a phone
 * hundreds of wake-ups a second. */
const BATCH = { max_tokens: 64, max_delay_ms: 40 };

export class Conversation {
  /** @param {Shelf} shelf @param {string} id */
  constructor(shelf, id) {
    this.id = id;
    this._shelf = shelf;
    /** @type {Map<string, Turn>} */
    this._turns = new Map();
    this.entry = shelf.read(id) ?? { id, title: '', at: 0, live: false, slots: [] };
  }

  /** @returns {Turn[]} Those that are shown. */
  get turns() {
    return this.entry.slots.map(({ turns, shown }) => this._turn(turns[shown]));
  }

  /** The turn that is being answered; the last one, where two tabs have asked at once. */
  get live() {
    return this.turns.findLast(({ status }) => status === 'live');
  }

  /** How many versions the last turn has, and which is shown, from 0. */
  get versions() {
    const slot = this.entry.slots.at(-1);
    return { count: slot?.turns.length ?? 0, shown: slot?.shown ?? 0 };
  }

  /** @param {Partial<Turn> & {key: string}} known A new question. */
  ask(known) {
    this.entry.slots.push({ turns: [known.key], shown: 0 });
    return this._begin(newTurn(known));
  }

  /** @param {Partial<Turn> & {key: string}} known Another version of the last turn: the one before stays. */
  askAgain(known) {
    const slot = /** @type {import('./shelf.js').Slot} */ (this.entry.slots.at(-1));
    const { question } = this._turn(slot.turns[slot.shown]);
    slot.shown = slot.turns.push(known.key) - 1;
    return this._begin(newTurn({ question, ...known }));
  }

  /** @param {Partial<Turn> & {key: string}} known The last answer goes on, as the same one. */
  goOn(known) {
    const slot = /** @type {import('./shelf.js').Slot} */ (this.entry.slots.at(-1));
    const before = this._turn(slot.turns[slot.shown]);
    const { question, system, text, reasoning, calls, thoughtAt } = before;
    const prior = { prior: text, priorTook: tookOf(before) };
    slot.turns[slot.shown] = known.key;
    const turn = this._begin(newTurn({ question, system, ...prior, reasoning, calls, thoughtAt, ...known }));
    this._turns.delete(before.key);
    this._shelf.dropTurn(this.id, before.key);
    return turn;
  }

  /** @param {number} shown Which version of the last turn. */
  showVersion(shown) {
    const slot = this.entry.slots.at(-1);
    if (slot) slot.shown = shown;
    const kept = this._shelf.read(this.id);
    const same = kept?.slots.at(-1);
    if (!kept || !slot || same?.turns.join() !== slot.turns.join()) return;
    same.shown = shown;
    this._shelf.keep(kept);
  }

  /**
   * The body of the call for a turn. Questions that were never answered are left out.
   *
   * @param {Turn} turn
   */
  request(turn) {
    const turns = this.turns;
    const earlier = turns.slice(0, turns.indexOf(turn)).filter(({ text }) => text);
    const messages = [
      ...(turn.system ? [{ role: 'system', content: turn.system }] : []),
      ...earlier.flatMap(({ question, text }) => [
        { role: 'user', content: question },
        { role: 'assistant', content: text },
      ]),
      { role: 'user', content: turn.question },
      ...(turn.prior ? [{ role: 'assistant', content: turn.prior }] : []),
    ];
    return { model: turn.model, messages, batch: BATCH };
  }

  /**
   * Keeps what is known of a turn. Of the conversation only its being live is changed: this tab may not have seen what
   * another one has asked since.
   *
   * @param {Turn} turn
   */
  save(turn) {
    this._shelf.keepTurn(this.id, turn);
    const kept = this._shelf.read(this.id);
    const last = kept?.slots.at(-1);
    if (!kept || last?.turns[last.shown] !== turn.key) return;
    const live = turn.status === 'live';
    this.entry.live = live;
    if (kept.live !== live) this._shelf.keep({ ...kept, live });
  }

  /**
   * Takes over what another tab has kept.
   *
   * @param {(turn: Turn) => boolean} isOwn Whether this tab follows the turn, and knows better.
   * @returns {boolean} Whether the conversation is still kept.
   */
  reload(isOwn) {
    const kept = this._shelf.read(this.id);
    if (!kept) return false;
    this.entry = kept;
    const keys = new Set(kept.slots.flatMap(({ turns }) => turns));
    for (const turn of this._turns.values()) {
      if (!isOwn(turn)) Object.assign(turn, this._shelf.readTurn(this.id, turn.key));
      else if (!keys.has(turn.key) && this._shelf.readTurn(this.id, turn.key)) this._bringBack(turn);
    }
    return true;
  }

  /** @param {Turn} turn Two tabs have asked at once, and the other one has not known of this question. */
  _bringBack(turn) {
    this.entry.slots.push({ turns: [turn.key], shown: 0 });
    this._shelf.keep(this.entry);
  }

  /** @param {Turn} turn */
  _begin(turn) {
    this._turns.set(turn.key, turn);
    const isFirst = this.entry.slots.length === 1;
    if (isFirst && !this.entry.isNamed) this.entry.title = titleOf(turn.question);
    this.entry.at = turn.startedAt;
    this.entry.live = true;
    this._shelf.begin(this.entry, turn);
    return turn;
  }

  /** @param {string} key @returns {Turn} */
  _turn(key) {
    let turn = this._turns.get(key);
    if (!turn) {
      const lost = { key, status: /** @type {const} */ ('lost'), code: 'not_kept' };
      turn = this._shelf.readTurn(this.id, key) ?? newTurn(lost);
      this._turns.set(key, turn);
    }
    return turn;
  }
}

/** @param {string} question Whose beginning is the title; half a character is none. */
function titleOf(question) {
  return question.replace(/\s+/g, ' ').slice(0, TITLE_LENGTH).replace(/[\ud800-\udbff]$/, '');
}
