/** What was stopped on this page alone, while the server could not be asked, becomes what the server has of it. */

import { MAX_DELAY_MS } from './connection.js';
import { insist } from './insist.js';
import { cancelStream, readStream, TidegateError } from './tidegate.js';
import { settle } from './turn.js';

/**
 * Stops the stream of a turn, however long it takes to get through, and takes over how it ended.
 *
 * @param {import('./turn.js').Turn} turn
 * @returns {Promise<boolean>} Whether there is nothing left to ask; a key that is refused now may be another one later.
 */
export async function settleLater(turn) {
  const options = { attempts: Infinity, maxDelay: MAX_DELAY_MS };
  try {
    await insist(() => cancelStream(turn.id), options);
    settle(turn, await insist(() => readStream(turn.id), options));
  } catch (error) {
    if (!(error instanceof TidegateError) || error.code !== 'stream_not_found') return false;
    turn.unsettled = false;
  }
  return true;
}
