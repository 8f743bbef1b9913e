// Runs the vectors of conformance/session.json on the client's session.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

import { TidegateError } from '../../../clients/js/error.js';
import { newSession, parsed } from '../../../clients/js/session.js';

const vectors = JSON.parse(readFileSync(new URL('../../../conformance/session.json', import.meta.url), 'utf8'));

const orNull = (cursor) => cursor || null;

/** What the session makes of an answer: one that is no success comes to it as an error. */
function answered(session, step) {
  const { status, content_type: contentType, retry_after_ms: retryAfterMs = 0, should_retry: shouldRetry = true } = step;
  if (status >= 200 && status < 300) {
    if (!session.answered(status, contentType)) return 'refused';
    return session.ended ? 'ended' : 'events';
  }
  try {
    session.failed(new TidegateError('', { status, retryAfterMs, shouldRetry }));
    return 'retry';
  } catch (error) {
    assert.equal(error.status, status);
    return 'refused';
  }
}

const STEPS = {
  ask(session, step) {
    const { after, snapshot = false } = session.ask();
    assert.deepEqual({ after: orNull(after), snapshot }, { after: step.after, snapshot: step.snapshot });
  },
  answered: (session, step) => assert.equal(answered(session, step), step.is),
  comment: (session, { text }) => session.comment(text),
  retry: (session, { ms }) => session.retry(ms),
  event(session, step) {
    const data = () => ('json' in step ? parsed(step.json) : step.data);
    const take = () => session.event({ type: step.event, data: data(), cursor: step.id });
    if (step.error) {
      assert.throws(take, TidegateError);
      return;
    }
    const seen = take();
    assert.deepEqual(seen && { ...seen, cursor: orNull(seen.cursor) }, step.seen);
    assert.equal(session.done, step.leave ?? false);
  },
  lost(session, step) {
    const { state, delay } = session.ended ? { state: 'ended' } : session.lost();
    assert.equal(state, step.state);
    if (step.delay === null) assert.equal(delay, undefined);
    else assert.ok(Math.abs(delay / 1000 - step.delay) < 1e-9, `${delay} ms`);
  },
  wake: (session) => session.wake(),
};

for (const { name, kind = 'stream', options = {}, steps } of vectors) {
  let dice = 0;
  const session = newSession({
    after: options.after,
    snapshot: options.snapshot,
    topic: kind === 'topic',
    attempts: options.attempts === null ? Infinity : options.attempts,
    maxDelay: options.max_delay && 1000 * options.max_delay,
    random: () => dice,
  });
  for (const [at, step] of steps.entries()) {
    dice = step.random;
    try {
      STEPS[step.do](session, step);
      if ('silence' in step) assert.equal(session.silenceMs / 1000, step.silence);
      for (const [of, count] of Object.entries(step.counts ?? {})) assert.equal(session.counts[of], count, of);
    } catch (error) {
      error.message = `${name}, step ${at}, ${step.do}: ${error.message}`;
      throw error;
    }
  }
}
console.log(vectors.length);
