// Who speaks on a socket that followers share: `node shared.mjs BASE KEY_A KEY_B`.

import { dropSockets } from '../../../clients/js/socket.js';
import { followTopic, listStreams, newKey, startStream } from '../../../clients/js/tidegate.js';

const [base, keyA, keyB] = process.argv.slice(2);
const ASKED = { model: 'replay', prompt: 'x' };
const found = {};

let opened = 0;
globalThis.WebSocket = class extends globalThis.WebSocket {
  constructor(...given) {
    super(...given);
    opened += 1;
  }
};

/** Resolves when a topic is followed. */
const followed = (name, options) => new Promise((resolve, reject) => {
  followTopic(name, { base, transport: 'websocket', ...options, onEvent: resolve }).catch(reject);
});

// The same token, of two functions, is one socket; another one of the same function is another.
let who = keyA;
const token = () => who;
await followed('one', { token });
await followed('two', { token: () => keyA });
found.sockets = [opened];
who = keyB;
let id;
const own = { base, transport: 'websocket', token };
await startStream(ASKED, { ...own, onStart: (started) => { id = started; } });
found.sockets.push(opened);
found.owner = [];
for (const key of [keyA, keyB]) {
  const { data } = await listStreams({ base, token: key });
  found.owner.push(data.some((stream) => stream.id === id));
}

// One key, asked for twice over one socket, and over the other transport.
const key = newKey();
const ids = new Set();
const start = (transport) => startStream(ASKED, { ...own, key, transport, onStart: (started) => ids.add(started) });
const ends = await Promise.all([start('websocket'), start('websocket'), start('sse')]);
found.ends = [...ends.map(({ type }) => type), ids.size];

// A socket without a token is the cookie's, and ends with it.
const states = [];
const onState = (state) => states.push(state);
const cookie = followed('three', { token: '', maxDelay: 1, onState }).catch(({ status }) => status);
// It is being opened by then.
for (let n = 0; n < 20; n += 1) await Promise.resolve();
dropSockets(`${base}/`);
found.cookie = [await cookie, states];

console.log(JSON.stringify(found));
process.exit();
