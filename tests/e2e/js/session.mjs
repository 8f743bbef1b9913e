// What a reader does on each event and each failure.

import assert from 'node:assert/strict';

import { Session } from '../../../clients/js/session.js';

const say = (event, data, id) => ({ event, data: JSON.stringify(data), id });

// It begins at the beginning, and goes on after the last position it saw.
let session = new Session({ random: () => 0 });
assert.deepEqual(session.query(), {});
assert.deepEqual(session.received(say('delta', { text: 'a' }, 'e-2')), { type: 'delta', data: { text: 'a' }, cursor: 'e-2' });
assert.deepEqual(session.query(), { after: 'e-2' });

// Only an event counts as success: a proxy that answers and hangs up does not.
session.broke();
assert.equal(session.broke(), 2000);
session.received(say('delta', { text: 'b' }, 'e-3'));
assert.equal(session.broke(), 1000);

// An error may ask for a longer wait.
assert.equal(session.broke(5000), 5000);

// A server that sends its readers away is no failure.
assert.equal(session.received(say('reconnect', { after_ms: 700, reason: 'draining' }, 'e-3')), null);
assert.ok(session.done);
assert.equal(session.broke(), 700);
assert.equal(session.failures, 0);
assert.ok(!session.done);

// A gap is answered by asking for the whole, at once; the application sees the whole instead of a hole.
assert.equal(session.received(say('gap', { from: 'e-3', to: 'f-1' }, 'f-1')), null);
assert.ok(session.done);
assert.equal(session.broke(), 0);
assert.deepEqual(session.query(), { snapshot: '1' });
assert.equal(session.received(say('snapshot', { text: 'x' }, 'f-4')).type, 'snapshot');
assert.deepEqual(session.query(), { after: 'f-4' });

// Where even the whole has a gap, the application is told, and it does not ask forever.
session.received(say('gap', { from: 'f-4', to: 'g-1' }, 'g-1'));
session.broke();
assert.equal(session.received(say('gap', { from: '', to: 'g-9' }, 'g-9')).type, 'gap');
assert.deepEqual(session.query(), { after: 'g-9' });

// It ends once.
assert.equal(session.end, null);
session.received(say('completed', { finish_reason: 'stop' }, 'g-10'));
assert.equal(session.end.type, 'completed');
assert.ok(session.done);

// Who wants the whole begins with it, and goes on after it.
session = new Session({ whole: true });
assert.deepEqual(session.query(), { snapshot: '1' });
session.received(say('snapshot', { text: 'x' }, 'e-4'));
assert.deepEqual(session.query(), { after: 'e-4' });
