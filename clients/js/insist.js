/** Calls that may be made again, since the server counts them once. */

import { newSession } from './session.js';
import { pause } from './wait.js';

/**
 * Makes a call until it is answered, or refused, or has failed once too often.
 *
 * @template T
 * @param {() => Promise<T>} work
 * @param {{attempts?: number, maxDelay?: number, signal?: AbortSignal}} options
 * @returns {Promise<T>} Rejects with the last error.
 */
export async function insist(work, { attempts, maxDelay, signal }) {
  const session = newSession({ attempts, maxDelay });
  for (;;) {
    try {
      return await work();
    } catch (error) {
      session.failed(error);
      const { delay } = session.lost();
      if (delay === undefined) throw error;
      await pause(signal, delay);
    }
  }
}
