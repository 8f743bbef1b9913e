/** Waiting that can be given up. */

/**
 * @param {AbortSignal | undefined} signal
 * @param {number | undefined} ms Without it, for ever.
 * @param {Turn} [turn] Ends the wait.
 * @returns {Promise<unknown>} Rejects with the reason of the signal.
 */
export const pause = (signal, ms, { promise, resolve } = newTurn()) =>
  within(under(signal), promise, resolve, ms);

/**
 * Waits for something until that is given up.
 *
 * @template T
 * @param {AbortController} own It is aborted in the end.
 * @param {Promise<T>} work
 * @param {() => void} [late] What to do when it has taken `ms`.
 * @param {number} [ms] Without it, it may take for ever.
 * @returns {Promise<T>} Rejects with the reason of the signal.
 */
export function within(own, work, late, ms) {
  const { signal } = own;
  const timer = ms === undefined ? ms : setTimeout(/** @type {() => void} */ (late), ms);
  return new Promise((resolve, reject) => {
    work.then(resolve, reject);
    signal.addEventListener('abort', () => reject(signal.reason));
    signal.throwIfAborted();
  }).finally(() => {
    clearTimeout(timer);
    own.abort();
  });
}

/** @typedef {{promise: Promise<any>, resolve: (_?: unknown) => void}} Turn Something that is waited for. */

/** As `Promise.withResolvers`, which browsers before 2024 and Node 20 lack. @returns {Turn} */
export const newTurn = (turn = /** @type {any} */ ({})) => {
  turn.promise = new Promise((resolve) => (turn.resolve = resolve));
  return turn;
};

/**
 * What is aborted together with another signal. That one may live long, and is let go when this one is aborted: by
 * whoever made it, in the end.
 *
 * @param {AbortSignal} [other]
 * @param {AbortController} [until] It is let go when this one is aborted, in place of the one that is returned.
 */
export function under(other, until) {
  const own = new AbortController();
  const leave = () => own.abort(other?.reason);
  other?.addEventListener('abort', leave, until ?? own);
  if (other?.aborted) leave();
  return own;
}
