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
  /** @type {import('./session.js').StreamEvent[]} */
  const events = [];
  let isOver = false;
  let turn = newTurn();
  const changed = () => {
    turn.resolve();
    turn = newTurn();
  };
  const onEvent = (/** @type {import('./session.js').StreamEvent} */ event) => {
    events.push(event);
    changed();
  };
  const room = (/** @type {number} */ most) => events.length > most && turn.promise;
  const running = follow(target, { ...options, signal, onEvent }, room).finally(() => {
    isOver = true;
    changed();
  });
  running.catch(() => {});
  try {
    while (events.length || !isOver) {
      if (events.length) {
        yield /** @type {import('./session.js').StreamEvent} */ (events.shift());
      } else {
        changed();
        await turn.promise;
      }
    }
    await running;
  } finally {
    leaving.abort();
  }
}
