/** The shared view: one answer as it grows, for whoever has its link. The token in the link is all they have. */

import { newTurn, settle } from './turn.js';
import { Live } from './live.js';
import { $, announce, noteWhereReaderIs, sentence } from './page.js';
import { followStream, readStream, TidegateError } from './tidegate.js';
import { TurnView } from './view.js';

// The page stands at s/TOKEN below the place where the server is mounted.
const credentials = { base: new URL('..', location.href), token: location.pathname.split('/').at(-1) };
const stream = document.body.dataset.stream ?? '';

const turn = newTurn({ id: stream, unbroken: false });
const view = new TurnView(turn);

async function follow() {
  const live = new Live(view);
  const options = {
    ...credentials,
    after: turn.cursor,
    whole: !turn.cursor,
    onEvent(/** @type {import('./tidegate.js').StreamEvent} */ event) {
      const first = !turn.cursor;
      live.take(event);
      if (first) begin(event.data);
    },
    onState: live.show.bind(live),
  };
  try {
    await followStream(stream, options);
    settle(turn, await readStream(stream, credentials));
  } catch (error) {
    if (turn.status === 'live' && !isOver(error)) {
      const text = sentence(/** @type {Error} */ (error).message);
      view.showState('failed', text, { label: 'Try again', run: follow });
      announce(text);
      return;
    }
    if (turn.status === 'live') Object.assign(turn, { status: 'lost', error: 'This link is no longer valid.' });
  }
  live.end();
}

/** @param {unknown} error Whether the link is revoked, has expired, or went with its stream. */
function isOver(error) {
  return error instanceof TidegateError && (error.status === 401 || error.status === 404);
}

/**
 * Whoever comes late begins to read at the top.
 *
 * @param {{model: string, created_at: number}} snapshot
 */
function begin({ model, created_at: at }) {
  const parts = /** @type {const} */ ({ dateStyle: 'long', timeStyle: 'short', hourCycle: 'h23' });
  const time = document.createElement('time');
  time.dateTime = new Date(at * 1000).toISOString();
  time.textContent = new Intl.DateTimeFormat('en', parts).format(at * 1000);
  $('about').replaceChildren(`${model} · `, time);
  noteWhereReaderIs();
}

if (stream) {
  $('shared').hidden = false;
  $('thread').append(view.node);
  follow();
} else {
  $('invalid').hidden = false;
}
