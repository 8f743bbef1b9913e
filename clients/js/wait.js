/** Waiting that can be given up. */

/**
 * @param {AbortSignal | undefined} signal
 * @param {number | null} ms Without it, for ever.
 * @param {(wake: () => void) => void} [onWait] Is handed what ends the wait.
 * @returns {Promise<void>} Rejects with the reason of the signal.
 */
export function pause(signal, ms, onWait) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      if (signal?.aborted) reject(signal.reason);
      else resolve();
    };
    const timer = ms === null ? undefined : setTimeout(end, ms);
    signal?.addEventListener('abort', end);
    onWait?.(end);
  });
}

/**
 * @param {AbortSignal} signal
 * @param {AbortSignal} [other] One that may live long: it keeps nothing of what is over.
 */
export function either(signal, other) {
  return other ? AbortSignal.any([signal, other]) : signal;
}
