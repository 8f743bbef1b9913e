/** A conversation on the page: its turns in their order, and the answer that is being written. */

import { alone } from './alone.js';
import { Following } from './following.js';
import { Live } from './live.js';
import { make } from './nodes.js';
import { keepAtEnd, withFocusKept } from './page.js';
import { settings } from './settings.js';
import { settleLater } from './settling.js';
import { newKey } from './tidegate.js';
import { TurnView } from './view.js';

/**
 * @typedef {import('./conversation.js').Conversation} Conversation
 * @typedef {import('./turn.js').Turn} Turn
 *
 * @typedef {object} Hooks
 * @property {() => void} onChange How it stands may have changed.
 * @property {() => void} onTurn A turn has begun, ended, or come from another tab.
 * @property {() => Promise<string>} model The one that is chosen; empty where there is none.
 * @property {(turn: Turn) => void} share
 */

export class Thread {
  /** @param {Conversation} conversation @param {Hooks} hooks */
  constructor(conversation, hooks) {
    this.conversation = conversation;
    this.node = make('div', 'turns');
    this._hooks = hooks;
    /** @type {Map<string, TurnView>} By the keys of their turns. */
    this._views = new Map();
    /** @type {Following | null} The answer that is being written. */
    this._following = null;
    /** @type {Promise<boolean> | null} A question that waits for its tab's turn: whether it came to be asked. */
    this._asking = null;
    /** @type {Set<Turn>} Those that were stopped here alone, and of which the server is being asked. */
    this._settling = new Set();
    /** @type {Live | null} What is being written, or was last, on this page. */
    this.latest = null;
    this._show();
    const { live } = conversation;
    if (live) {
      live.unbroken = false;
      this._follow(live);
    }
  }

  /** @returns {Live | null} */
  get live() {
    return this._following && this._following.live;
  }

  /** @param {string} question @returns {Promise<boolean>} Whether it was asked. */
  ask(question) {
    return this._begin((known) => this.conversation.ask({ ...known, question }));
  }

  /** @param {string} [question] The last one, in other words. */
  askAgain(question) {
    const words = question ? { question } : {};
    return this._begin((known) => this.conversation.askAgain({ ...known, ...words }), this._last());
  }

  goOn() {
    return this._begin(({ key, model }) => this.conversation.goOn({ key, model }), this._last());
  }

  /** A question that waits for its tab's turn is asked, and stopped then. */
  async stop() {
    if (!this._asking || (await this._asking)) await this._following?.stop();
  }

  save() {
    this._following?.save();
  }

  /** It has come back to the page: what is not there is not painted. */
  showNow() {
    if (this.live) this.live.view.takeAsHeard();
  }

  /** Nobody here reads it any more. */
  leave() {
    this.live?.leave();
    this._following = null;
  }

  /** @returns {boolean} Whether the conversation is still kept, after another tab has changed it. */
  reload() {
    if (!this.conversation.reload((turn) => turn === this.live?.turn)) return false;
    if (this.live && !this.conversation.turns.includes(this.live.turn)) this.leave();
    this._show();
    this._followNext();
    this._hooks.onTurn();
    return true;
  }

  /**
   * Asks, unless another tab was faster: then its question is shown, and this one stays where it was typed.
   *
   * @param {(known: {key: string, model: string, system: string}) => Turn} make
   * @param {string} [about] The last turn, for what is about that one.
   * @returns {Promise<boolean>}
   */
  async _begin(make, about) {
    if (this._asking) return false;
    this._asking = this._beginInTurn(make, about);
    try {
      return await this._asking;
    } finally {
      this._asking = null;
    }
  }

  /** @param {(known: {key: string, model: string, system: string}) => Turn} make @param {string} [about] */
  async _beginInTurn(make, about) {
    const model = await this._hooks.model();
    if (!model) return false;
    return alone(`asking:${this.conversation.id}`, () => {
      const { entry } = this.conversation;
      if (entry.slots.length && !this.live) this.reload();
      if (this.live || (about && about !== this._last())) return false;
      this._follow(make({ key: newKey(), model, system: settings.system }));
      return true;
    });
  }

  /** The key of the last turn. */
  _last() {
    return this.conversation.turns.at(-1)?.key;
  }

  /** What another tab has asked is followed where it is read. */
  _followNext() {
    const { live } = this.conversation;
    if (live && !this.live && this.node.isConnected) this._follow(live);
  }

  /** @param {Turn} turn */
  _follow(turn) {
    this._show();
    const live = new Live(/** @type {TurnView} */ (this._views.get(turn.key)));
    live.onChange = () => this._hooks.onChange();
    this.latest = live;
    this._following = new Following(this.conversation, live, () => {
      this._following = null;
      this._settle(turn);
      this._place();
      this._followNext();
      this._hooks.onTurn();
    });
    this._hooks.onTurn();
    keepAtEnd();
  }

  /** Brings the page up to the conversation; what stays keeps its nodes. */
  _show() {
    const { turns } = this.conversation;
    const nodes = turns.map((turn) => this._view(turn).node);
    const gone = [...this.node.children].filter((node) => !nodes.includes(/** @type {HTMLElement} */ (node)));
    withFocusKept(() => gone.forEach((node) => node.remove()));
    for (const node of nodes) if (node.parentNode !== this.node) this.node.append(node);
    for (const turn of turns) if (turn !== this.live?.turn) this._refresh(turn);
    this._place();
  }

  /** @param {Turn} turn Another tab may have written it. */
  _refresh(turn) {
    const view = this._view(turn);
    view.takeAsHeard();
    if (turn.status !== 'live') view.showEnd();
    this._settle(turn);
  }

  /** @param {Turn} turn */
  async _settle(turn) {
    if (!turn.unsettled || this._settling.has(turn)) return;
    this._settling.add(turn);
    const isSettled = await settleLater(turn);
    this._settling.delete(turn);
    if (!isSettled) return;
    this.conversation.save(turn);
    this._refresh(turn);
    this._place();
    this._hooks.onTurn();
    keepAtEnd();
  }

  _place() {
    const { turns, versions } = this.conversation;
    turns.forEach((turn, at) => {
      const last = at === turns.length - 1;
      this._view(turn).place({ last, ...(last ? versions : { count: 1, shown: 0 }) });
    });
  }

  /** @param {Turn} turn */
  _view(turn) {
    let view = this._views.get(turn.key);
    if (!view) {
      view = new TurnView(turn, {
        again: () => this.askAgain(),
        goOn: () => this.goOn(),
        share: () => this._hooks.share(turn),
        edit: (question) => this.askAgain(question),
        showVersion: (shown) => this._showVersion(shown),
      });
      this._views.set(turn.key, view);
    }
    return view;
  }

  /** @param {number} shown */
  _showVersion(shown) {
    this.conversation.showVersion(shown);
    this._show();
    keepAtEnd();
  }
}
