// Follows what it is told to, by its argument, and tells of everything, a line of JSON each. It takes orders by stdin.

import { createInterface } from 'node:readline';

import { followStream, followTopic, listStreams, readStream, startStream } from '../../../clients/js/tidegate.js';

const { stream, topic, body, tokens, isPage, ...given } = JSON.parse(process.argv[2]);

// A page hears when the network is back.
if (isPage) Object.defineProperty(navigator, 'onLine', { value: true });

const say = (what) => console.log(JSON.stringify(what));

const leaving = new AbortController();
let detail = {};
let started = stream;
const options = {
  ...given,
  signal: leaving.signal,
  onStart(id) {
    started = id;
    say({ start: id });
  },
  onEvent: ({ type, data, cursor }) => say({ event: type, data, cursor }),
  onState(state, now) {
    detail = { ...detail, ...now };
    const { delay, error, counts, cursor } = now;
    const why = error && { status: error.status, message: error.message };
    say({ state, delay, counts: { ...counts }, cursor, error: why });
  },
};
if (tokens) {
  // Those that are left, one after the other; the last one stays.
  options.token = async (refused) => {
    say({ token: tokens[0], refused });
    return tokens.length > 1 ? tokens.shift() : tokens[0];
  };
}

const orders = {
  leave: () => leaving.abort(),
  cut: () => detail.cut(),
  retry: () => detail.retry(),
  call: () => listStreams({ base: given.base }).catch(() => {}),
};
createInterface({ input: process.stdin }).on('line', (order) => orders[order]());

const following = body ? startStream(body, options) : stream ? followStream(stream, options) : followTopic(topic, options);
following.then(
  async (end) => {
    const { text } = await readStream(started, given);
    say({ end: end?.type ?? 'past', counts: detail.counts, whole: text });
  },
  (error) => say({ error: error.name, status: error.status, code: error.code }),
).finally(() => process.exit());
