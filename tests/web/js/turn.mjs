// A turn, folded from the events of its stream.

import assert from 'node:assert/strict';

import { apply, isEmpty, latestOf, newTurn, settle, tookOf } from '../../../src/tidegate/web/turn.js';

const begun = (known = {}) => newTurn({ startedAt: 1000, ...known });
const event = (type, data, cursor = 'c-1') => ({ type, data, cursor });

// The text and the cursor change together.
{
  const turn = begun();
  apply(turn, event('delta', { text: 'One ' }, 'c-2'), 1500);
  apply(turn, event('delta', { text: 'two' }, 'c-3'), 1600);
  assert.deepEqual([turn.text, turn.cursor, turn.firstAt, isEmpty(turn)], ['One two', 'c-3', 1500, false]);
  apply(turn, event('completed', { finish_reason: 'length', usage: { completion_tokens: 2 } }, 'c-4'), 3000);
  assert.deepEqual([turn.status, turn.reason, turn.seconds], ['completed', 'length', 2]);
}

// Of an answer that several streams brought, all of them are counted, and what one does not say nobody knows.
{
  const first = begun({ model: 'a', usage: { completion_tokens: 2, estimated: false }, seconds: 3, firstAt: 2000 });
  const priorTook = tookOf(first);
  assert.deepEqual(priorTook, { models: ['a'], tokens: 2, estimated: false, seconds: 3, waited: 1 });
  const second = begun({ ...first, priorTook, usage: { completion_tokens: 5, estimated: true } });
  assert.deepEqual(tookOf(second), { models: ['a'], tokens: 7, estimated: true, seconds: 6, waited: 2 });
  const third = begun({ model: 'b', priorTook: tookOf(second) });
  assert.deepEqual(tookOf(third), { models: ['a', 'b'], tokens: null, estimated: true, seconds: null, waited: 2 });
  const fourth = begun({ model: 'b', priorTook: tookOf(third) });
  assert.deepEqual(tookOf(fourth).models, ['a', 'b']);
}

// Thoughts are over with the first piece of anything else; fragments of a call are joined.
{
  const turn = begun();
  apply(turn, event('reasoning', { text: 'hm' }), 2000);
  apply(turn, event('tool_call', { index: 0, id: 'c', name: 'f', arguments: '' }), 3000);
  apply(turn, event('tool_call', { index: 0, arguments: '{"a"' }), 3100);
  apply(turn, event('tool_call', { index: 1, id: 'd', name: 'g', arguments: '{}' }), 3200);
  apply(turn, event('tool_call', { index: 0, arguments: ':1}' }), 3300);
  assert.deepEqual([turn.firstAt, turn.thoughtAt], [2000, 3000]);
  assert.deepEqual(turn.calls.map(({ name, arguments: all }) => [name, all]), [['f', '{"a":1}'], ['g', '{}']]);
  assert.equal(isEmpty(turn), false);
}

// What has come tells what is being done; what an earlier stream had brought does not.
{
  const calls = [{ index: 0, id: 'c', name: 'f', arguments: '' }];
  const done = [{}, { reasoning: 'hm' }, { reasoning: 'hm', calls }, { calls, text: 'x' }, { calls, prior: 'x' }];
  assert.deepEqual(done.map((known) => latestOf(begun(known))), ['', 'reasoning', 'tool_call', 'delta', '']);
}

// A snapshot replaces what there was, but for what an earlier stream had brought of the same answer.
{
  const turn = begun({ prior: 'One ' });
  assert.equal(turn.text, 'One ');
  apply(turn, event('delta', { text: 'wrong' }));
  apply(turn, event('snapshot', { text: 'two', reasoning: '', tool_calls: [] }));
  assert.equal(turn.text, 'One two');
}

// What ended while nobody listened is taken over from the server, which has measured it.
{
  const turn = begun({ unbroken: false });
  apply(turn, event('cancelled', { by: 'disconnect', usage: null }));
  assert.deepEqual([turn.reason, turn.seconds], ['disconnect', null]);
  const error = { code: 'interrupted', message: 'it stopped' };
  const snapshot = { text: 'x', cursor: 'c-9', status: 'failed', usage: null, error, created_at: 5, ended_at: 8 };
  settle(turn, snapshot);
  assert.deepEqual([turn.status, turn.code, turn.error, turn.seconds], ['failed', 'interrupted', 'it stopped', 3]);
}
