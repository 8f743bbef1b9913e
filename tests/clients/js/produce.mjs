/**
 * Streams that this program fills: `node produce.mjs BASE SCENARIO` prints what it saw, as JSON.
 */

import { getEventListeners } from 'node:events';

import { cancelStream, events, produce, readStream } from '../../../clients/js/tidegate.js';

const [base, scenario] = process.argv.slice(2);
const options = { base };

/** A fact that another process brings about, said on the standard input. */
function told() {
  return new Promise((resolve) => process.stdin.once('data', resolve));
}

async function refusal(promise) {
  return promise.then(() => null, (error) => (error.name === 'TidegateError' ? error.code : error.name));
}

const scenarios = {
  /** Each piece is an event of its own, in order, though they were sent together. */
  async whole() {
    const producer = await produce(options);
    producer.append('reasoning', { text: 'hm' });
    for (let n = 0; n < 2500; n += 1) producer.delta(`${n} `);
    await producer.append('tool_call', { index: 0, id: 'c', name: 'look', arguments: '{}' });
    await producer.complete({ usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, estimated: false } });
    const { text, reasoning, tool_calls: calls, usage, cursor } = await readStream(producer.id, options);
    const { ended, offset } = producer;
    const late = await refusal(producer.delta('late'));
    const said = text === Array.from({ length: 2500 }, (_, n) => `${n} `).join('');
    return {
      said,
      reasoning,
      calls: calls.length,
      usage: usage.total_tokens,
      ended,
      offset,
      late,
      same: cursor === producer.cursor,
    };
  },

  /** While the server is away what waits is bounded: whoever appends more waits, too. */
  async away() {
    const producer = await produce(options);
    await producer.delta('before ');
    console.log(producer.id);
    await told();
    const piece = 'x'.repeat(300_000);
    const room = [];
    const all = Array.from({ length: 5 }, (_, n) => producer.delta(piece).then(() => room.push(n)));
    await new Promise((resolve) => setTimeout(resolve));
    console.log(JSON.stringify(room));
    await Promise.all(all);
    await producer.complete();
    const { text, status } = await readStream(producer.id, options);
    return { length: text.length, status };
  },

  /** A model that is silent for longer than its lease keeps its stream. */
  async silent() {
    let renewals = 0;
    const { fetch } = globalThis;
    globalThis.fetch = (url, init) => {
      renewals += JSON.parse(init.body ?? '{}').events?.length === 0;
      return fetch(url, init);
    };
    const producer = await produce(options);
    await producer.delta('thinking ');
    // Three of them are a lease.
    while (renewals < 5) await new Promise((resolve) => setTimeout(resolve, 50));
    await producer.delta('done');
    await producer.complete();
    const { text, status } = await readStream(producer.id, options);
    return { text, status };
  },

  /** The same key is the same stream, and who had it before can say nothing more. */
  async twice() {
    const first = await produce({ ...options, key: 'k' });
    await first.delta('one ');
    for await (const { type } of events(first.id, options)) if (type === 'delta') break;
    const second = await produce({ ...options, key: 'k' });
    const heard = new Promise((resolve) => {
      first.signal.addEventListener('abort', () => resolve(first.signal.reason.code));
    });
    const fenced = await refusal(first.complete());
    await second.delta('two');
    await second.complete();
    const { text } = await readStream(second.id, options);
    const third = await produce({ ...options, key: 'k' });
    return {
      same: first.id === second.id,
      before: second.text,
      fenced,
      signal: await heard,
      text,
      third: [third.ended, third.text],
    };
  },

  /** A reader cancels: the work is told to stop, though it says nothing at the time. */
  async cancelled() {
    const producer = await produce(options);
    await producer.delta('one ');
    const stopped = new Promise((resolve) => producer.signal.addEventListener('abort', resolve));
    await cancelStream(producer.id, options);
    // The producer alone keeps no program alive; its model does.
    const working = setInterval(() => {}, 1000);
    await stopped;
    clearInterval(working);
    return {
      reason: producer.signal.reason.code,
      late: await refusal(producer.delta('two')),
      end: await refusal(producer.complete()),
    };
  },

  /** What can never be sent is an error at once, and not repeated. */
  async refused() {
    const producer = await produce(options);
    const end = refusal(producer.append('delta', { words: 'x' }));
    await new Promise((resolve) => producer.signal.addEventListener('abort', resolve));
    const known = producer.signal.reason.code;
    await end;
    return {
      known,
      after: await refusal(producer.delta('x')),
      opened: await refusal(produce({ ...options, metadata: { n: 1 } })),
    };
  },

  /** What was appended stays as it was, and what JSON cannot say is refused before it is. */
  async reused() {
    const producer = await produce(options);
    const data = {};
    for (const word of ['one ', 'two ', 'three']) {
      data.text = word;
      producer.append('delta', data);
    }
    const big = await refusal(producer.append('completed', { usage: 1n }));
    await producer.complete();
    const { text, status } = await readStream(producer.id, options);
    return { text, status, big };
  },

  /** A signal that outlives many streams is let go by each one that is over. */
  async lasting() {
    const { signal } = new AbortController();
    const open = () => produce({ ...options, signal, key: 'lasting' });
    const first = await open();
    const before = getEventListeners(signal, 'abort').length;
    await first.complete();
    const second = await open();
    await new Promise((resolve) => setTimeout(resolve));
    return [before, getEventListeners(signal, 'abort').length, first.signal.aborted, second.signal.aborted];
  },

  async failed() {
    const producer = await produce(options);
    producer.delta('so far ');
    await producer.fail('the disk is full', 'disk_full');
    const { text, status, error } = await readStream(producer.id, options);
    return { text, status, code: error.code, message: error.message };
  },

  /** One that is left open holds neither the process, nor the stream for ever. */
  async left() {
    const leave = new AbortController();
    const producer = await produce({ ...options, signal: leave.signal });
    await producer.delta('so far');
    for await (const { type } of events(producer.id, options)) if (type === 'delta') break;
    leave.abort();
    const open = await produce(options);
    await open.delta('so far');
    return { left: await refusal(producer.delta('x')), id: producer.id };
  },
};

console.log(JSON.stringify(await scenarios[scenario]()));
