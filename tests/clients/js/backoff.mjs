// Runs the vectors of conformance/backoff.json on the client's session.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import { newSession } from '../../../clients/js/session.js';

const vectors = JSON.parse(readFileSync(new URL('../../../conformance/backoff.json', import.meta.url), 'utf8'));

for (const { name, steps, attempts, max_delay: seconds = 8 } of vectors) {
  let dice = 0;
  const session = newSession({
    attempts: attempts === null ? Infinity : attempts,
    maxDelay: 1000 * seconds,
    random: () => dice,
  });
  for (const [at, step] of steps.entries()) {
    const where = `${name}, step ${at}`;
    let offline = false;
    if (step.do === 'failed') {
      dice = step.random;
      const { state, delay } = session.lost();
      offline = state === 'offline';
      assert.equal(delay === undefined ? null : delay / 1000, step.delay, where);
    }
    if (step.do === 'at_least') session.retry(step.retry_ms);
    if (step.do === 'reset') session.wake();
    if ('offline' in step) assert.equal(offline, step.offline, where);
  }
}
console.log(vectors.length);
