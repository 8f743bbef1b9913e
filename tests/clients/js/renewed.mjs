// What the hooks keep, without React's rendering: the token of a component that has got another one meanwhile.

import { createServer } from 'node:http';

import { Stream } from '../../../clients/js/react-stream.js';

const tokens = [];
const server = createServer(({ headers: { authorization } }, response) => {
  tokens.push(authorization);
  response.writeHead(200, { 'content-type': 'text/event-stream', 'tidegate-stream': 'gen_1' });
  if (tokens.length === 1) {
    stream.store.options = { ...options, token: async () => 'second' };
    response.end('retry: 1\nid: e-1\nevent: started\ndata: {}\n\n');
  } else {
    response.end('id: e-2\nevent: completed\ndata: {}\n\n');
    console.log(JSON.stringify(tokens));
    process.exit();
  }
});
await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });

const options = { base: `http://127.0.0.1:${server.address().port}`, token: 'first', maxDelay: 1 };
const stream = new Stream();
stream.store.options = options;
stream.mount();
stream.start({ prompt: 'one' });
