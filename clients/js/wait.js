/** Waiting that can be given up. */

/**
 * @param {AbortSignal | undefined} signal
 * @param {number | undefined} ms Without it, for ever.
 * @param {Turn} [turn] Ends the wait.
 * @returns {Promise<void>} Rejects with the reason of the signal.
 */
export async function pause(signal, ms, { promise, resolve } = newTurn()) {
  const timer = ms === undefined ? ms : setTimeout(resolve, ms);
  signal?.addEventListener('abort', resolve);
  if (!signal?.aborted) await promise;
  clearTimeout(timer);
  signal?.removeEventListener('abort', resolve);
  signal?.throwIfAborted();
}

/** @typedef {{promise: Promise<unknown>, resolve: (_?: unknown) => void}} Turn Something that is waited for. */

/** @returns {Turn} */
export const newTurn = () => Promise.withResolvers();

/**
 * @param {AbortSignal} signal
 * @param {AbortSignal} [other] One that may live long: it keeps nothing of what is over.
 */
export const either = (signal, other) => (other ? AbortSignal.any([signal, other]) : signal);
