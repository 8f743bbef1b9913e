/**
 * The same script for Node, Deno, Bun and workers: start, cut, resume, cancel, a topic, a stream of one's own.
 *
 *     node everywhere.mjs http://127.0.0.1:8000
 *
 * It prints, as JSON, what it saw over each transport.
 */

import {
  cancelStream,
  deleteStream,
  events,
  followStream,
  listStreams,
  newKey,
  produce,
  publish,
  readStream,
  startStream,
  topicEvents,
} from '../../../clients/js/tidegate.js';

const [base] = process.argv.slice(2);

/** Answers whole, though its connection is cut when a third of it is there. */
async function started(options) {
  let text = '';
  let id = '';
  let cut;
  let counts;
  const end = await startStream({ model: 'replay', prompt: 'x' }, {
    ...options,
    onStart: (started) => { id = started; },
    onState: (state, detail) => {
      counts = detail.counts;
      if (state === 'streaming') cut ??= detail.cut;
    },
    onEvent: ({ type, data }) => {
      if (type === 'delta') text += data.text;
      if (text.length > 80 && cut) {
        cut();
        cut = () => {};
      }
    },
  });
  const snapshot = await readStream(id, options);
  const { reconnects, duplicates, gaps } = counts;
  return { end: end.type, whole: text === snapshot.text && text.length > 200, reconnects, duplicates, gaps };
}

/** Leaves in the middle, and comes back with the cursor. */
async function resumed(options) {
  let id = '';
  let after = '';
  let text = '';
  const leave = new AbortController();
  const begun = startStream({ model: 'replay', prompt: 'x' }, {
    ...options,
    signal: leave.signal,
    onStart: (started) => { id = started; },
    onState: () => {
      if (leave.signal.aborted) throw new Error('a state was told after the reader had left');
    },
    onEvent: ({ type, data, cursor }) => {
      if (leave.signal.aborted) throw new Error('an event came after the reader had left');
      if (type === 'delta') text += data.text;
      after = cursor;
      if (text.length > 80) leave.abort();
    },
  });
  const left = await begun.then(() => 'ended', (error) => error.name);
  for await (const { type, data } of events(id, { ...options, after })) if (type === 'delta') text += data.text;
  const snapshot = await readStream(id, options);
  await deleteStream(id, options);
  return { left, whole: text === snapshot.text, status: snapshot.status };
}

async function cancelled(options) {
  let asked;
  const end = await startStream({ model: 'endless', prompt: 'x' }, {
    ...options,
    onStart: (id) => { asked = cancelStream(id, { ...options, reason: 'enough' }); },
  });
  return { type: end.type, reason: end.data.reason, status: (await asked).status };
}

async function told(options) {
  const topic = `news-${options.transport}-${newKey()}`;
  await publish(topic, { n: 1 }, { ...options, state: true });
  const seen = [];
  for await (const { type, data } of topicEvents(topic, { ...options, after: 'earliest' })) {
    // Who shares a socket that is cut subscribes again, and is told the state again.
    if (type === 'presence' || (type === 'subscribed' && seen.length)) continue;
    seen.push(type === 'subscribed' ? data.state : data.data);
    if (seen.length === 2) await publish(topic, 'good news', { ...options, type: 'headline' });
    if (type === 'headline') break;
  }
  return seen;
}

async function produced(options) {
  const producer = await produce({ ...options, metadata: { by: 'everywhere' } });
  for (const word of ['one ', 'two ', 'three']) producer.delta(word);
  await producer.complete();
  let text = '';
  const end = await followStream(producer.id, {
    ...options,
    onEvent: ({ type, data }) => { if (type === 'delta') text += data.text; },
  });
  return { text, end: end.type };
}

async function over(transport) {
  const options = { base, transport };
  const [a, b, c, d, e] = await Promise.all([started, resumed, cancelled, told, produced].map((each) => each(options)));
  return { started: a, resumed: b, cancelled: c, told: d, produced: e };
}

const count = async () => (await listStreams({ base, limit: 100 })).data.length;
const before = await count();
const [sse, websocket] = await Promise.all([over('sse'), over('websocket')]);
console.log(JSON.stringify({ sse, websocket, streams: (await count()) - before }));
