// The client before servers that are not tidegate, or do not answer. It prints what became of each call.

import { getEventListeners } from 'node:events';
import { createServer } from 'node:http';

import { call } from '../../../clients/js/request.js';
import { followStream, listStreams, produce, publish, readStream, startStream } from '../../../clients/js/tidegate.js';

const EVENTS = { 'content-type': 'text/event-stream' };
const STARTED = 'id: e-1\nevent: started\ndata: {}\n\n';
const COMPLETED = 'id: e-2\nevent: completed\ndata: {}\n\n';

/** A server whose answers are given in turn; the last one stays. */
async function served(...answers) {
  const asked = [];
  const server = createServer((request, response) => {
    asked.push(request.url);
    (answers.length > 1 ? answers.shift() : answers[0])(response, request);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { base: `http://127.0.0.1:${server.address().port}`, asked };
}

const silent = () => {};
const html = (status) => (response) => response.writeHead(status, { 'content-type': 'text/html' }).end('<html>');
const json = (status, body) => (response) => response.writeHead(status).end(JSON.stringify(body));
const begun = (response) => response.writeHead(200, EVENTS).end(STARTED);
const ended = (response) => response.writeHead(200, EVENTS).end(COMPLETED);

const outcome = (promise) => promise.then((end) => end?.type ?? 'answered', ({ name, code }) => `${name} ${code}`);

const found = {};

// A signal ends what waits for a token, and nothing is asked.
for (const transport of ['sse', 'websocket']) {
  const { base, asked } = await served(silent);
  const leaving = new AbortController();
  const token = () => new Promise((resolve) => {
    leaving.abort();
    setTimeout(resolve);
  });
  const left = await outcome(startStream({}, { base, transport, token, signal: leaving.signal }));
  await new Promise((resolve) => setTimeout(resolve));
  found[`token over ${transport}`] = [left, asked.length, getEventListeners(leaving.signal, 'abort').length];
}

{
  const { base } = await served(silent);
  found['nobody answers'] = await outcome(call('GET', 'v1/streams', { base, patienceMs: 50 }));
}
{
  const { base, asked } = await served(html(200));
  found['a page'] = [await outcome(readStream('x', { base })), await outcome(followStream('x', { base })), asked.length];
}
{
  const { base } = await served(json(200, { ok: true }));
  found['foreign JSON'] = await outcome(produce({ base }));
  found['a token of no header'] = await outcome(followStream('x', { base, token: '€' }));
}

// A program may put a `fetch` of its own before this one, which adds a header.
{
  const told = [];
  const { base } = await served((response, { headers }) => {
    told.push(headers.mine, headers.authorization, headers['content-type'], headers['idempotency-key']);
    json(200, {})(response);
  });
  const { fetch } = globalThis;
  globalThis.fetch = (url, init) => fetch(url, { ...init, headers: { mine: 'too', ...init.headers } });
  await publish('room', 'hello', { base, token: 'tg_key', key: 'k' });
  globalThis.fetch = fetch;
  found['a fetch before this one'] = told;
}
{
  const calls = [() => followStream('x'), () => readStream('x', { base: '' }), () => produce()];
  found['no base'] = await Promise.all(calls.map((each) => each().catch(({ message }) => message)));
}
{
  const { base } = await served(begun);
  const leaving = new AbortController();
  const following = followStream('x', { base, signal: leaving.signal, onEvent: () => leaving.abort(null) });
  found['no reason'] = await following.catch((reason) => reason);
}
{
  const { base, asked } = await served(begun, html(200), html(403), ended);
  found['pages of a proxy'] = [await outcome(followStream('x', { base, maxDelay: 1 })), asked.length];
}
{
  const { base } = await served(begun, json(404, { error: { code: 'stream_not_found', request_id: 'r' } }));
  found['words of the server'] = await outcome(followStream('x', { base, maxDelay: 1 }));
}
{
  const { base } = await served(begun, (response) => response.destroy());
  const error = await followStream('x', { base, attempts: 1, maxDelay: 1 }).catch((caught) => caught);
  found.offline = [error.name, error.code, error.cursor];
}
{
  const { base } = await served(begun, ended);
  const onState = (state, { retry }) => state === 'offline' && retry();
  found['retried offline'] = await outcome(followStream('x', { base, attempts: 0, onState }));
}
{
  let detail;
  const { base } = await served(begun, () => detail.retry(), ended);
  const onState = (_, now) => { detail = now; };
  found['retried while it hangs'] = await outcome(followStream('x', { base, maxDelay: 1, onState }));
}
{
  const busy = (response) => response.writeHead(429, { 'retry-after': '60' }).end('{"error":{"code":"rate_limited"}}');
  const { base, asked } = await served(busy);
  const leaving = new AbortController();
  await new Promise((resolve) => {
    const onState = (state) => state === 'reconnecting' && setTimeout(resolve);
    followStream('x', { base, signal: leaving.signal, onState }).catch(() => {});
  });
  for (let n = 0; n < 3; n += 1) await listStreams({ base }).catch(() => {});
  leaving.abort();
  found['asked to wait'] = asked.filter((url) => url.includes('events')).length;
}
{
  const endless = (response) => {
    response.writeHead(200, EVENTS);
    for (let n = 0; n < 20; n += 1) response.write('x'.repeat(1 << 20));
  };
  const { base } = await served(endless);
  found['an endless line'] = await outcome(followStream('x', { base }));
}
console.log(JSON.stringify(found));
process.exit();
