/** Components that a test drives: what they show is on the page, what they can do is on `window`. */

import { StrictMode, useEffect, useState } from 'react';
import { createRoot } from 'react-dom/client';

import { useStream, useTopic } from '../../../clients/js/react.js';

const params = new URLSearchParams(location.search);
const base = params.get('server');
const transport = params.get('transport') ?? 'sse';
const EAGER = { model: 'gated', prompt: 'eager', on_disconnect: 'keep' };

window.renderings = 0;
window.events = 0;

/** Asks as soon as it is there, which StrictMode does twice. */
function Eager() {
  const { start, ...shown } = useAnswer({});
  useEffect(() => start(EAGER), [start]);
  return <Shown {...shown} />;
}

function Asked() {
  return <Shown {...useAnswer({ remember: 'answer' })} />;
}

function Chosen() {
  const [id, setId] = useState(null);
  window.choose = setId;
  return <Shown {...useAnswer({ id })} />;
}

function Room() {
  const [name, setName] = useState(null);
  window.enter = setName;
  const room = useTopic(name, { base, transport, after: 'earliest', limit: 3 });
  window.room = room;
  const { publish, retry, ...shown } = room;
  return <pre>{JSON.stringify(shown)}</pre>;
}

function useAnswer(options) {
  window.renderings += 1;
  const answer = useStream({ base, transport, onEvent: () => { window.events += 1; }, ...options });
  window.answer = answer;
  return answer;
}

function Shown({ start, stop, retry, ...shown }) {
  return <pre>{JSON.stringify(shown)}</pre>;
}

/** Can be taken away as a whole. */
function Page({ children }) {
  const [isThere, setIsThere] = useState(true);
  window.setThere = setIsThere;
  return isThere ? children : <pre>gone</pre>;
}

const Component = { Eager, Asked, Chosen, Room }[params.get('component')];
createRoot(document.getElementById('root')).render(<StrictMode><Page><Component /></Page></StrictMode>);
