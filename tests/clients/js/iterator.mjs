// Async iterators in the hands of a program that takes its time: `node iterator.mjs BASE` prints what it saw.

import { events, followStream, produce, publish, topicEvents } from '../../../clients/js/tidegate.js';

const [base] = process.argv.slice(2);
/** More than one read of a body. Neighbours of two kinds are never merged. */
const PAIRS = 1500;
const PIECE = 'x'.repeat(100);
/** Past what may wait of a topic on a socket. */
const MESSAGES = 1300;

let reads = 0;
const { fetch } = globalThis;
globalThis.fetch = async (...given) => {
  const response = await fetch(...given);
  const getReader = response.body?.getReader.bind(response.body);
  if (getReader) {
    response.body.getReader = () => {
      const reader = getReader();
      return {
        read() {
          reads += 1;
          return reader.read();
        },
      };
    };
  }
  return response;
};

/** From where a topic was subscribed to, and what a socket has brought, by type. */
const subscribed = [];
const brought = {};
let onBrought = () => {};
globalThis.WebSocket = class extends globalThis.WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener('message', ({ data }) => {
      const { type } = JSON.parse(data);
      brought[type] += 1;
      onBrought();
    });
  }

  send(text) {
    const { op, after } = JSON.parse(text);
    if (op === 'subscribe') subscribed.push(after);
    super.send(text);
  }
};

/** Resolves when sockets have brought so many of a type. */
const untilBrought = (type, most) => new Promise((resolve) => {
  brought[type] = 0;
  onBrought = () => brought[type] >= most && resolve();
});

const producer = await produce({ base });
for (let n = 0; n < PAIRS; n += 1) {
  await producer.append('reasoning', { text: PIECE });
  await producer.append('delta', { text: PIECE });
}
await producer.complete();

const offsetOf = (cursor) => Number(cursor.split('-')[1]);

const found = {};

// While nothing is taken, nothing is read. Somebody else has read all of it by then.
let last = 0;
found.sse = 0;
for await (const { cursor } of events(producer.id, { base })) {
  found.sse += offsetOf(cursor) === (last += 1);
  if (last > 1) continue;
  const before = reads;
  await followStream(producer.id, { base, transport: 'websocket' });
  found.read = reads - before;
}

// A socket brings all that a topic is told; what does not fit is asked for again.
last = 0;
found.websocket = 0;
for await (const { type, cursor } of topicEvents('much', { base, transport: 'websocket' })) {
  if (type === 'message') found.websocket += offsetOf(cursor) === (last += 1);
  else if (type === 'subscribed' && !last) {
    const all = untilBrought('message', MESSAGES);
    for (let n = 0; n < MESSAGES; n += 1) await publish('much', { n }, { base });
    await all;
  }
  if (last === MESSAGES) break;
}
found.again = offsetOf(subscribed[1] ?? '-0');

// A stream is not left for that: it may be cancelled when its last reader leaves.
const asked = JSON.stringify({ model: 'fast', prompt: 'x', background: true, on_disconnect: 'cancel' });
const headers = { 'content-type': 'application/json' };
const { id } = await fetch(`${base}/v1/streams`, { method: 'POST', headers, body: asked }).then((answer) => answer.json());
last = 0;
found.stream = 0;
for await (const { type, cursor } of events(id, { base, transport: 'websocket' })) {
  found.stream += offsetOf(cursor) === (last += 1);
  if (last === 1) await untilBrought('delta', MESSAGES);
  if (last === 2 * MESSAGES || type === 'cancelled') break;
}

console.log(JSON.stringify(found));
process.exit();
