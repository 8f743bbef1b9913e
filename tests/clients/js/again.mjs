// Leaves a stream before the server has answered, and follows it again at once: `node again.mjs BASE` prints how each
// of the two ended, where the socket was open, and where it was just being opened.

import { cancelStream, followStream, followTopic, startStream } from '../../../clients/js/tidegate.js';

const [base] = process.argv.slice(2);
const options = { base, transport: 'websocket' };

/** Resolves with the id of an answer that goes on. */
const begun = () => new Promise((resolve, reject) => {
  startStream({ model: 'endless', prompt: 'x' }, { base, onStart: resolve }).catch(reject);
});

/** @param {string} id */
async function followedAgain(id) {
  const leaving = new AbortController();
  const left = followStream(id, { ...options, signal: leaving.signal }).catch((error) => error.name);
  // The socket has the call by then.
  for (let n = 0; n < 20; n += 1) await Promise.resolve();
  leaving.abort();
  const end = await followStream(id, {
    ...options,
    onEvent({ type }) {
      if (type === 'delta') cancelStream(id, { base }).catch(() => {});
    },
  });
  return [await left, end.type];
}

const opening = await followedAgain(await begun());
await new Promise((resolve) => {
  followTopic('keeps-the-socket', { ...options, onEvent: resolve }).catch(() => {});
});
const open = await followedAgain(await begun());
console.log(JSON.stringify({ opening, open }));
process.exit();
