// What the hooks keep, without React's rendering: a question that is stopped before its answer has an id.

import { createServer } from 'node:http';

import { Stream } from '../../../clients/js/react-stream.js';

const asked = [];
const server = createServer((request, response) => {
  asked.push(request.url);
  if (request.url === '/v1/streams') {
    void stream.stop();
    // Whoever asks something else at once still ends what was stopped.
    stream.start({ prompt: 'another' });
    response.writeHead(200, { 'content-type': 'text/event-stream', 'tidegate-stream': 'gen_1' }).flushHeaders();
  } else {
    console.log(JSON.stringify(asked));
    process.exit();
  }
});
await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });

const stream = new Stream();
stream.store.options = { base: `http://127.0.0.1:${server.address().port}` };
stream.mount();
stream.start({ prompt: 'one' });
