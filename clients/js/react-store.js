/**
 * What a component shows of something it follows, kept outside React.
 *
 * @typedef {import('./tidegate.js').StreamEvent} StreamEvent
 * @typedef {import('./tidegate.js').FollowOptions} FollowOptions
 * @typedef {'base' | 'token' | 'transport' | 'attempts' | 'maxDelay' | 'onEvent'} Connecting
 * @typedef {Pick<FollowOptions, Connecting>} ConnectionOptions
 *
 * @typedef {object} Shown
 * @property {string} status
 * @property {string} cursor
 * @property {Error | null} error
 * @property {number} delay
 *
 * @typedef {object} Subject
 * @property {() => boolean} wanted Whether there is something to follow.
 * @property {(options: FollowOptions) => Promise<unknown>} follow
 * @property {(event: StreamEvent) => void} happened
 * @property {(signal: AbortSignal) => void} [connected]
 */

import { useEffect, useSyncExternalStore } from 'react';

import { frames } from './frames.js';

/**
 * Follows a subject while its component is there, and tells the component of changes once per animation frame.
 *
 * @template {Shown} T
 */
export class Store {
  #subject;
  #isMounted = false;
  /** @type {AbortController | null} Ends the following that is under way. */
  #left = null;
  /** @type {Set<() => void>} */
  #listeners = new Set();
  #draw = frames(() => {
    this.shown = this.next;
    for (const listener of this.#listeners) listener();
  });

  /** @param {T} none What is shown of nothing. @param {Subject} subject */
  constructor(none, subject) {
    this.none = none;
    this.shown = none;
    /** What the next frame shows. */
    this.next = none;
    /** @type {any} The latest options of the hook. */
    this.options = {};
    /** @type {(() => void) | undefined} Connects at once, while the connection is away. */
    this.retry = undefined;
    this.#subject = subject;
  }

  get isFollowing() {
    return this.#left !== null;
  }

  /** Follows for as long as the component is there. React's StrictMode takes it away and back in one go. */
  mount() {
    this.#isMounted = true;
    this.go();
    return () => {
      this.#isMounted = false;
      queueMicrotask(() => this.#isMounted || this.leave());
    };
  }

  /** @param {() => void} listener */
  subscribe = (listener) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** @param {Partial<T>} change */
  set(change) {
    this.next = { ...this.next, ...change };
    this.#draw();
  }

  /** Leaves what was followed, and begins with something else. @param {Partial<T>} [known] */
  begin(known) {
    this.leave();
    this.set({ ...this.none, ...known });
    this.#draw.now();
    this.go();
  }

  leave() {
    this.#left?.abort();
    this.#left = null;
    this.retry = undefined;
  }

  /** Follows, unless it does, or there is nobody to show it to. */
  go() {
    if (!this.#isMounted || this.#left || !this.#subject.wanted()) return;
    const left = new AbortController();
    this.#left = left;
    this.set(/** @type {Partial<T>} */ ({ status: 'connecting', error: null, delay: 0 }));
    this.#draw.now();
    this.#subject.follow(this.#listening(left.signal)).then(
      () => this.#over(left),
      (error) => this.#over(left, error),
    );
  }

  /** @param {AbortSignal} signal @returns {FollowOptions} */
  #listening(signal) {
    return {
      ...this.options,
      signal,
      // A later rendering may have another one.
      token: (refused) => {
        const { token = '' } = this.options;
        return typeof token === 'function' ? token(refused) : token;
      },
      onEvent: (event) => {
        if (signal.aborted) return;
        if (event.cursor) this.set(/** @type {Partial<T>} */ ({ cursor: event.cursor }));
        this.#subject.happened(event);
        this.options.onEvent?.(event);
      },
      onState: (status, { delay = 0, error = null, retry }) => {
        if (signal.aborted || status === 'ended') return;
        this.retry = retry;
        this.set(/** @type {Partial<T>} */ ({ status, delay, error }));
        if (status === 'streaming') this.#subject.connected?.(signal);
      },
    };
  }

  /** @param {AbortController} left @param {Error} [error] */
  #over(left, error) {
    if (this.#left !== left) return;
    this.leave();
    if (error) this.set(/** @type {Partial<T>} */ ({ status: 'failed', error, delay: 0 }));
  }
}

/**
 * @template {Shown} T
 * @param {{store: Store<T>, show: (name: string) => void, mount: () => () => void}} subject
 * @param {ConnectionOptions} options
 * @param {string} name
 * @returns {T}
 */
export function useSubject(subject, options, name) {
  const { store } = subject;
  useEffect(() => {
    store.options = options;
  });
  useEffect(() => subject.show(name), [subject, name]);
  useEffect(() => subject.mount(), [subject]);
  return useSyncExternalStore(store.subscribe, () => store.shown, () => store.none);
}
