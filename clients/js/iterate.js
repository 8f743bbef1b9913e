import { newTurn, under } from './wait.js';

/**
 * A following as an async iterator.
 *
 * @template {import('./follow.js').FollowOptions} T
 * @param {(options: T) => Promise<unknown>} run
 * @param {T} options
 * @returns {AsyncGenerator<import('./session.js').StreamEvent, void>} Leaving the loop leaves what is followed.
 */
export async function* iterate(run, options = /** @type {T} */ ({})) {
  const leaving = under(options.signal);
  /** @type {import('./session.js').StreamEvent[]} */
  const events = [];
  let isOver = false;
  let turn = newTurn();
  const running = run({
    ...options,
    signal: leaving.signal,
    onEvent(event) {
      events.push(event);
      turn.resolve();
    },
  }).finally(() => {
    isOver = true;
    turn.resolve();
  });
  running.catch(() => {});
  try {
    while (events.length || !isOver) {
      if (!events.length) await turn.promise;
      turn = newTurn();
      yield* events.splice(0);
    }
    await running;
  } finally {
    leaving.abort();
  }
}
