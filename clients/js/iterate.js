import { either } from './wait.js';

/**
 * A following as an async iterator.
 *
 * @template {import('./follow.js').FollowOptions} T
 * @param {(options: T) => Promise<unknown>} run
 * @param {T} options
 * @returns {AsyncGenerator<import('./session.js').StreamEvent, void>} Leaving the loop leaves what is followed.
 */
export async function* iterate(run, options) {
  const leaving = new AbortController();
  /** @type {import('./session.js').StreamEvent[]} */
  const events = [];
  let isOver = false;
  let wake = () => {};
  const running = run({
    ...options,
    signal: either(leaving.signal, options.signal),
    onEvent(event) {
      events.push(event);
      wake();
    },
  }).finally(() => {
    isOver = true;
    wake();
  });
  running.catch(() => {});
  try {
    for (;;) {
      yield* events.splice(0);
      if (events.length) continue;
      if (isOver) break;
      await new Promise((resolve) => (wake = () => resolve(undefined)));
    }
    await running;
  } finally {
    leaving.abort();
  }
}
