import { StrictMode, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { useStream, useTopic } from 'tidegate/react';

const base = new URLSearchParams(location.search).get('server') ?? 'http://127.0.0.1:8000';

const AWAY = ['reconnecting', 'offline', 'failed'];

function Answer() {
  const answer = useStream({ base, remember: 'answer' });
  const [prompt, setPrompt] = useState('Tell me about the sea.');

  function ask(event) {
    event.preventDefault();
    answer.start({ model: 'smollm2', prompt });
  }

  return (
    <section>
      <form onSubmit={ask}>
        <input aria-label="Question" value={prompt} onChange={(event) => setPrompt(event.target.value)} />
        {answer.isLive ? <button type="button" onClick={answer.stop}>Stop</button> : <button>Ask</button>}
      </form>
      {answer.reasoning && <details><summary>Thoughts</summary>{answer.reasoning}</details>}
      <p id="answer">{answer.text}</p>
      {answer.toolCalls.map((call) => <p key={call.index}><code>{call.name}({call.arguments})</code></p>)}
      <p role="status">
        {answer.status}
        {answer.error && `: ${answer.error.message} `}
        {AWAY.includes(answer.status) && <button onClick={answer.retry}>Try now</button>}
      </p>
    </section>
  );
}

function Room({ name }) {
  const room = useTopic(name, { base, after: 'earliest', transport: 'websocket' });
  const [text, setText] = useState('');

  function send(event) {
    event.preventDefault();
    room.publish({ text });
    setText('');
  }

  return (
    <section>
      <h2>{name}: {room.presence.join(', ')}</h2>
      <ul>{room.messages.map((message) => <li key={message.cursor}>{message.data.text}</li>)}</ul>
      <form onSubmit={send}>
        <input aria-label="Message" value={text} onChange={(event) => setText(event.target.value)} required />
        <button>Send</button>
      </form>
    </section>
  );
}

createRoot(document.getElementById('root')).render(
  <StrictMode>
    <Answer />
    <Room name="example" />
  </StrictMode>,
);
