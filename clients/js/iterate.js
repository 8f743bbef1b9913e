import { follow } from './follow.js';
import { newTurn, under } from './wait.js';

/**
 * A following as an async iterator. What nobody takes is not read on, so that little waits here.
 *
 * @param {import('./follow.js').Target} target
 * @param {import('./follow.js').FollowOptions} [options]
 * @returns {AsyncGenerator<import('./session.js').StreamEvent, void>} Leaving the loop leaves what is followed.
 */
export async function* iterate(target, options = {}) {
  const leaving = under(options.signal);
  const { signal } = leaving;
  /** @type {Set<import('./session.js').StreamEvent>} Of a list, to take the first moves all the others. */
  const events = new Set();
  let isOver = false;
  let turn = newTurn();
  const changed = () => {
    turn.resolve();
    turn = newTurn();
    return turn.promise;
  };
  const onEvent = (/** @type {import('./session.js').StreamEvent} */ event) => {
    events.add(event);
    changed();
  };
  const room = (/** @type {number} */ most) => events.size > most && turn.promise;
  const running = follow(target, { ...options, signal, onEvent }, room).finally(() => {
    isOver = true;
    changed();
  });
  running.catch(() => {});
  try {
    for (;;) {
      for (const event of events) {
        events.delete(event);
        yield event;
      }
      if (isOver) break;
      await changed();
    }
    await running;
  } finally {
    leaving.abort();
  }
}
