// Runs the vectors of conformance/backoff.json on the browser's session.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import { Session } from '../../../clients/js/session.js';

const vectors = JSON.parse(readFileSync(new URL('../../../conformance/backoff.json', import.meta.url), 'utf8'));

for (const { name, steps } of vectors) {
  let dice = 0;
  const session = new Session({ random: () => dice });
  for (const [at, step] of steps.entries()) {
    const where = `${name}, step ${at}`;
    if (step.do === 'failed') {
      dice = step.random;
      assert.equal(session.broke() / 1000, step.delay, where);
    }
    if (step.do === 'at_least') session.atLeast(step.retry_ms);
    if (step.do === 'reset') session.revive();
    if ('offline' in step) assert.equal(session.offline, step.offline, where);
  }
}
console.log(vectors.length);
