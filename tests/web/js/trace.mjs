// What a stream went through, as it is written down.

import assert from 'node:assert/strict';

import { Trace } from '../../../src/tidegate/web/trace.js';

const delta = (text, cursor) => ({ type: 'delta', data: { text }, cursor });
const kinds = (trace) => trace.lines.map(({ kind }) => kind);

// A connection that breaks leaves a gap in the picture, and a line for each thing that happened.
{
  const counts = { events: 0, duplicates: 0, gaps: 0, reconnects: 0 };
  const trace = new Trace(1000);
  trace.show('connecting', { counts }, 1000);
  trace.show('streaming', { counts }, 1100);
  trace.take(delta('abc', 'e-2'), 1300);
  trace.cut();
  trace.show('reconnecting', { counts, delay: 1200 }, 2000);
  trace.show('reconnecting', { counts, delay: 0 }, 3200);
  trace.show('reconnecting', { counts, delay: 2500 }, 3300);
  counts.reconnects = 1;
  trace.show('streaming', { counts }, 5000);
  trace.take(delta('defg', 'e-3'), 5010);
  trace.take(delta('h', 'e-4'), 5020);
  trace.take(delta('later', 'e-5'), 9000);
  trace.take({ type: 'completed', data: {}, cursor: 'e-6' }, 9100);
  assert.deepEqual(kinds(trace), ['asked', 'connected', 'first', 'cut', 'again', 'again', 'resumed', 'completed']);
  assert.deepEqual(trace.breaks, [{ from: 1000, to: 4000 }]);
  const resumed = trace.lines.find(({ kind }) => kind === 'resumed');
  assert.deepEqual(resumed, { at: 4000, kind: 'resumed', cursor: 'e-2', characters: 5 });
  assert.deepEqual([trace.firstMs, trace.characters, trace.cursor, trace.counts.reconnects], [300, 13, 'e-6', 1]);
  assert.equal(trace.elapsed(99_000), 8100);
}

// A break of the network's own is not laid to the reader.
{
  const trace = new Trace(0, 'e-7');
  trace.show('streaming', {}, 10);
  trace.show('reconnecting', { delay: 1000 }, 20);
  trace.show('offline', {}, 30);
  assert.deepEqual(kinds(trace), ['picked-up', 'connected', 'broke', 'again', 'offline']);
  assert.equal(trace.breaks[0].to, null);
}

// However long it takes, the picture has as many columns, with everything in them; the lines are bounded, too.
{
  const trace = new Trace(0);
  for (let at = 0; at < 1_000_000; at += 500) trace.take(delta('xy', 'e-1'), at);
  assert.ok(trace.columns.length <= 96);
  assert.equal(trace.columns.reduce((sum, count) => sum + count, 0), 4000);
  for (let at = 0; at < 1000; at += 1) trace.take({ type: 'gap', data: {}, cursor: 'e-1' }, 1_000_000 + at);
  assert.ok(trace.lines.length <= 100);
}
