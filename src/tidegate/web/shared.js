/** The shared view: one answer as it grows, for whoever has its link. The token in the link is all they have. */

import { Connection, MAX_DELAY_MS } from './connection.js';
import { explained } from './failures.js';
import { date, t } from './language.js';
import { Live } from './live.js';
import { make } from './nodes.js';
import { $, showNotice, stayHere } from './page.js';
import { followStream, readStream, TidegateError } from './tidegate.js';
import { newTurn, settle } from './turn.js';
import { TurnView } from './view.js';

/** @typedef {import('./tidegate.js').StateDetail} StateDetail */

const OVER = new Set(['invalid_credentials', 'token_expired', 'stream_not_found']);

/** So much of the question is the title of the page. */
const TITLE_CHARACTERS = 60;

// The page stands at s/TOKEN below the place where the server is mounted.
const credentials = { base: new URL('..', location.href), token: location.pathname.split('/').at(-1) };
const stream = document.body.dataset.stream ?? '';

/** Until the question and the answer so far are there, only the connection has something to say. */
const connection = new Connection();

/** @type {Live | undefined} */
let live;

/** @type {StateDetail} */
let latest;

async function follow() {
  const options = {
    ...credentials,
    maxDelay: MAX_DELAY_MS,
    after: live?.turn.cursor,
    snapshot: !live,
    onEvent(/** @type {import('./tidegate.js').StreamEvent} */ event) {
      const first = !live;
      live ??= begin(event.data);
      live.take(event);
      if (first) stayHere();
    },
    onState(/** @type {import('./tidegate.js').State} */ state, /** @type {StateDetail} */ detail) {
      latest = detail;
      (live ?? connection).show(state, detail);
    },
  };
  try {
    await followStream(stream, options);
    if (live) settle(live.turn, await readStream(stream, credentials));
  } catch (error) {
    broke(/** @type {Error} */ (error));
    return;
  }
  live?.end();
}

/** @param {Error} error */
function broke(error) {
  const over = isOver(error);
  if (!live) {
    if (over) showInvalid();
    else showNotice(explained(error), t('Try again'), again);
  } else if (live.turn.status !== 'live' || over) {
    if (live.turn.status === 'live') Object.assign(live.turn, { status: 'lost', code: 'link_over' });
    live.end();
  } else {
    live.halt(explained(error), { label: t('Try again'), run: again });
  }
}

function again() {
  showNotice('');
  follow();
}

/** @param {unknown} error Whether the server says that the link is revoked, has expired, or went with its stream. */
function isOver(error) {
  return error instanceof TidegateError && OVER.has(error.code);
}

/**
 * Whoever comes late begins to read at the top.
 *
 * @param {{model: string, question?: string | null, created_at: number}} snapshot
 */
function begin({ model, question, created_at: at }) {
  const turn = newTurn({ id: stream, model, question: question ?? '', unbroken: false });
  const time = make('time', '', date(at, { dateStyle: 'long', timeStyle: 'short' }));
  time.setAttribute('datetime', new Date(at * 1000).toISOString());
  $('about').replaceChildren(`${model} · `, time);
  if (question) document.title = `${question.slice(0, TITLE_CHARACTERS)} · tidegate`;
  const view = new TurnView(turn);
  $('thread').append(view.node);
  const made = new Live(view);
  made.show('connecting', latest);
  made.show('streaming', latest);
  return made;
}

function showInvalid() {
  $('shared').hidden = true;
  $('invalid').hidden = false;
}

if (stream) {
  $('shared').hidden = false;
  follow();
} else {
  showInvalid();
}
