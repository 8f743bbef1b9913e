/** A program by a user who writes TypeScript: what it expects of types has to hold. */

import {
  cancelStream,
  events,
  followTopic,
  produce,
  publish,
  startStream,
  TidegateError,
  type Options,
  type State,
  type StreamEvent,
} from 'tidegate';

declare const process: { argv: string[] };

const options: Options = { base: process.argv[2], token: async () => 'none' };
const states: State[] = [];
let text = '';
let id = '';

const end: StreamEvent | null = await startStream({ model: 'replay', prompt: 'x' }, {
  ...options,
  transport: 'websocket',
  attempts: Infinity,
  onStart: (started: string) => { id = started; },
  onState: (state, { retry }) => {
    states.push(state);
    retry?.();
  },
  onEvent: (event) => {
    if (event.type === 'delta') text += event.data.text;
  },
});

let again = '';
for await (const event of events(id, options)) if (event.type === 'delta') again += event.data.text;

const producer = await produce({ ...options, metadata: { by: 'a user' } });
const isStopped: boolean = producer.signal.aborted;
await producer.delta('mine');
await producer.complete({ finish_reason: 'length' });
// @ts-expect-error: there is no such event.
producer.append('remark', {}).catch(() => {});

const leave = new AbortController();
const left: string = await followTopic('news', {
  ...options,
  signal: leave.signal,
  onEvent: ({ type }) => { if (type === 'subscribed') void publish('news', 1, options).then(() => leave.abort()); },
}).catch((error: Error) => error.name);
const status: number = await cancelStream('gen_none', options).then(() => 200, (error: TidegateError) => error.status);
console.log(JSON.stringify({ end: end?.type, same: text === again, first: states[0], isStopped, left, status }));
