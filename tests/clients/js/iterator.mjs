// Async iterators in the hands of a program that takes its time: `node iterator.mjs BASE` prints what it saw.

import { events, followStream, produce } from '../../../clients/js/tidegate.js';

const [base] = process.argv.slice(2);
/** Past what may wait on a socket, and more than one read of a body. Neighbours of two kinds are never merged. */
const PAIRS = 1500;
const PIECE = 'x'.repeat(100);

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

/** What was said to attach, and who waits for the end of what a socket brings. */
const attached = [];
let onEnd = () => {};
globalThis.WebSocket = class extends globalThis.WebSocket {
  constructor(...given) {
    super(...given);
    this.addEventListener('message', ({ data }) => {
      if (JSON.parse(data).type === 'completed') onEnd();
    });
  }

  send(text) {
    const { op, after } = JSON.parse(text);
    if (op === 'attach') attached.push(after);
    super.send(text);
  }
};

const producer = await produce({ base });
for (let n = 0; n < PAIRS; n += 1) {
  await producer.append('reasoning', { text: PIECE });
  await producer.append('delta', { text: PIECE });
}
await producer.complete();

const offsetOf = (cursor) => Number(cursor.split('-')[1]);

/** Takes one event, and all others when `isTime` has come: whether each came once, in order. */
async function taken(transport, isTime) {
  let last = 0;
  for await (const { cursor } of events(producer.id, { base, transport })) {
    if (offsetOf(cursor) !== last + 1) return `${cursor} after ${last}`;
    last += 1;
    if (last === 1) await isTime();
  }
  return last === producer.offset;
}

const found = {};

// While nothing is taken, nothing is read. Somebody else has read all of it by then.
let read;
found.sse = await taken('sse', async () => {
  const before = reads;
  await followStream(producer.id, { base, transport: 'websocket' });
  read = reads - before;
});
found.read = read;

// A socket brings all of it; what did not fit is asked for again.
found.websocket = await taken('websocket', () => new Promise((resolve) => { onEnd = resolve; }));
const [, , second] = attached;
found.again = offsetOf(second ?? '-0');

console.log(JSON.stringify(found));
