/**
 * A topic in the hands of a component: its latest messages, its state, and who is there.
 *
 * @typedef {{type: string, cursor: string, data: any, from: string, at: number, state?: boolean}} TopicMessage
 *
 * @typedef {object} TopicShown
 * @property {import('./react-stream.js').FollowStatus | 'failed'} status `failed`: it may not be followed.
 * @property {TopicMessage[]} messages The latest, oldest first.
 * @property {any} state What was last published with `state: true`.
 * @property {string[]} presence The principals that follow the topic.
 * @property {string} cursor
 * @property {Error | null} error Why it may not be followed, or why the connection is away.
 * @property {number} delay Milliseconds until the next try, while reconnecting.
 */

import { Store } from './react-store.js';
import { followTopic, presence, publish } from './tidegate.js';

/** @type {TopicShown} */
const NOTHING = { status: 'idle', messages: [], state: null, presence: [], cursor: '', error: null, delay: 0 };

const MAX_MESSAGES = 200;

export class Topic {
  #name = '';
  /** What was the latest event. */
  #latest = '';
  /** @type {{joined: string[], left: string[]}[] | null} Who has moved since it was asked who is there. */
  #moves = null;

  constructor() {
    /** @type {Store<TopicShown>} */
    this.store = new Store(NOTHING, this);
  }

  mount() {
    return this.store.mount();
  }

  /** @param {string} name */
  show(name) {
    if (name === this.#name) return;
    this.#name = name;
    this.store.begin();
  }

  /** @param {any} data @param {{type?: string, state?: boolean, key?: string}} [options] */
  publish = (data, options) => publish(this.#name, data, { ...this.store.options, ...options });

  /** Tries at once to connect. */
  retry = () => {
    if (this.store.retry) this.store.retry();
    else this.store.go();
  };

  // What the store asks of its subject.

  wanted() {
    return this.#name !== '';
  }

  /** @param {import('./react-store.js').FollowOptions} options @returns {Promise<unknown>} */
  follow(options) {
    const after = this.store.next.cursor || options.after;
    return followTopic(this.#name, { ...options, ...(after && { after }) });
  }

  /** @param {AbortSignal} signal */
  async connected(signal) {
    this.#moves = [];
    const there = await presence(this.#name, { ...this.store.options, signal }).catch(() => null);
    if (!there || signal.aborted) return;
    const principals = there.map(({ principal }) => principal);
    this.store.set({ presence: (this.#moves ?? []).reduce(moved, principals) });
    this.#moves = null;
  }

  /** @param {import('./tidegate.js').StreamEvent} event */
  happened({ type, data, cursor }) {
    const gapAmidst = type === 'gap' && this.#latest !== 'subscribed';
    this.#latest = type;
    if (type === 'subscribed') {
      this.store.set({ state: data.state });
    } else if (type === 'presence') {
      this.#moves?.push(data);
      this.store.set({ presence: moved(this.store.next.presence, data) });
    } else if (gapAmidst) {
      // The message that held the state may be among those that are lost: who subscribes anew is told it.
      this.store.leave();
      this.store.go();
    } else if (type !== 'gap') {
      this.#said({ type, cursor, ...data });
    }
  }

  /** @param {TopicMessage} message */
  #said(message) {
    const { limit = MAX_MESSAGES } = this.store.options;
    const messages = [...this.store.next.messages, message].slice(-limit);
    this.store.set({ messages, ...(message.state && { state: message.data }) });
  }
}

/** @param {string[]} there @param {{joined: string[], left: string[]}} move */
function moved(there, { joined, left }) {
  return [...new Set([...there, ...joined])].filter((principal) => !left.includes(principal));
}
