/**
 * An answer in the hands of a component: asked, followed, stopped, asked again.
 *
 * @typedef {'idle' | 'connecting' | 'streaming' | 'reconnecting' | 'offline'} FollowStatus
 *
 * @typedef {{index: number, id: string, name: string, arguments: string}} ToolCall
 *
 * @typedef {object} StreamShown
 * @property {FollowStatus | 'completed' | 'cancelled' | 'failed'} status `failed` is also a request that was refused.
 * @property {string} text
 * @property {string} reasoning
 * @property {ToolCall[]} toolCalls
 * @property {string} id Empty until the server has answered.
 * @property {string} cursor
 * @property {Error | null} error Why it failed, or why the connection is away.
 * @property {number} delay Milliseconds until the next try, while reconnecting.
 * @property {any} end What the last event carries, once it is there: `finish_reason`, `usage`, `by`, `reason`, `error`.
 */

import { Store } from './react-store.js';
import { cancelStream, followStream, newKey, remembered, startStream, TERMINAL, TidegateError } from './tidegate.js';

/** @type {StreamShown} */
const NOTHING = {
  status: 'idle',
  text: '',
  reasoning: '',
  toolCalls: [],
  id: '',
  cursor: '',
  error: null,
  delay: 0,
  end: null,
};

export class Stream {
  /** @type {object | null} What was asked, if it was asked here. */
  #body = null;
  #key = '';
  #shownId = '';
  /** The question that is under way. Stopped before its answer has an id, it goes on until it can be cancelled. */
  #asking = { isStopped: false };
  /** Whether it is known from before a refresh only: then it may be forgotten. */
  #isKept = false;

  constructor() {
    /** @type {Store<StreamShown>} */
    this.store = new Store(NOTHING, this);
  }

  mount() {
    const { remember } = this.store.options;
    const kept = remember && this.#isIdle ? remembered(remember) : null;
    if (kept) {
      this.#isKept = true;
      this.store.set({ id: kept.id });
    }
    return this.store.mount();
  }

  /** @param {string} id Of a stream that has been started already; empty: of none. */
  show(id) {
    if (id === this.#shownId) return;
    this.#shownId = id;
    this.#body = null;
    this.store.begin({ id });
  }

  /** Asks; the former answer is left. The same question while it is being answered is the same answer. */
  start = (/** @type {object} */ body) => {
    const isAsked = this.store.isFollowing && JSON.stringify(body) === JSON.stringify(this.#body);
    if (!isAsked) this.#ask(body);
  };

  /** Ends the answer, for everybody. */
  stop = async () => {
    const { id, end } = this.store.next;
    if (end) return;
    if (id) {
      await cancelStream(id, this.store.options).catch((error) => this.store.set({ error }));
    } else if (this.#body) {
      this.#asking.isStopped = true;
      this.store.leave();
      this.happened({ type: 'cancelled', data: { by: 'client' }, cursor: '' });
    }
  };

  /** Tries at once to connect; after the end it asks the last question again. */
  retry = () => {
    if (this.store.retry) this.store.retry();
    else if (this.#body && this.store.next.end) this.#ask(this.#body);
    else this.store.go();
  };

  /** @param {object} body */
  #ask(body) {
    this.#body = body;
    this.#key = newKey();
    this.#isKept = false;
    this.store.begin();
  }

  get #isIdle() {
    return !this.#body && !this.store.next.id;
  }

  // What the store asks of its subject.

  wanted() {
    return !this.#isIdle && !this.store.next.end;
  }

  /** @param {import('./react-store.js').FollowOptions} options @returns {Promise<unknown>} */
  follow(options) {
    const { id, cursor } = this.store.next;
    if (id) {
      const place = cursor ? { after: cursor } : { snapshot: true };
      return followStream(id, { ...options, ...place }).catch((error) => {
        if (!this.#isForgotten(error)) throw error;
      });
    }
    const asking = (this.#asking = { isStopped: false });
    const left = new AbortController();
    options.signal?.addEventListener('abort', () => asking.isStopped || left.abort());
    const onStart = (/** @type {string} */ started) => {
      if (!asking.isStopped) return this.store.set({ id: started });
      left.abort();
      cancelStream(started, this.store.options).catch(() => {});
    };
    return startStream(this.#body ?? {}, { ...options, signal: left.signal, key: this.#key, onStart });
  }

  /** @param {TidegateError} error @returns {boolean} Whether there is nothing to show again after a refresh. */
  #isForgotten({ status }) {
    const isForgotten = this.#isKept && status === 404;
    if (isForgotten) this.store.begin();
    return isForgotten;
  }

  /** @param {import('./tidegate.js').StreamEvent} event */
  happened({ type, data }) {
    const { text, reasoning, toolCalls } = this.store.next;
    if (type === 'delta') this.store.set({ text: text + data.text });
    else if (type === 'reasoning') this.store.set({ reasoning: reasoning + data.text });
    else if (type === 'tool_call') this.store.set({ toolCalls: withFragment(toolCalls, data) });
    else if (type === 'snapshot') this.store.set(whole(data));
    else if (TERMINAL.has(type)) this.store.set(ended(type, data));
  }
}

/** @param {any} data @returns {Partial<StreamShown>} */
function whole({ text, reasoning, tool_calls: calls }) {
  return { text, reasoning, toolCalls: calls.reduce(withFragment, []) };
}

/** @param {string} type @param {any} data @returns {Partial<StreamShown>} */
function ended(type, data) {
  const status = /** @type {'completed' | 'cancelled' | 'failed'} */ (type);
  const error = data.error ? new TidegateError(data.error.message, { ...data.error, status: 500 }) : null;
  return { status, end: data, error, delay: 0 };
}

/** @param {ToolCall[]} calls @param {Partial<ToolCall>} fragment A name and an id come once, arguments in pieces. */
function withFragment(calls, { index = calls.length, id, name, arguments: piece = '' }) {
  const before = calls.find((call) => call.index === index);
  const after = {
    index,
    id: id || before?.id || '',
    name: name || before?.name || '',
    arguments: (before?.arguments ?? '') + piece,
  };
  return before ? calls.map((call) => (call === before ? after : call)) : [...calls, after];
}
