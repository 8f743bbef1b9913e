/**
 * The answers in a room: asked for, followed by everybody, stopped by whoever asked.
 *
 * A stream is its owner's, so whoever asked shares it where people have credentials of their own, and the others read it
 * by that token, over SSE. With its own credentials, over the room's WebSocket, a tab reads only what it has started
 * itself: a message may name any stream, and what is read for it is shown, and told to the room.
 *
 * @typedef {import('./talk.js').Answer} Answer
 *
 * @typedef {object} Room
 * @property {import('./socket.js').Socket} socket
 * @property {(data: object, key: string) => Promise<unknown>} tell Publishes to the room.
 * @property {import('./own.js').Own} own What this tab has started.
 * @property {(node: HTMLElement) => void} add Puts it at the end of the page.
 * @property {() => string} principal Who the server takes this tab for; empty until the history has been read.
 */

import { AnswerView } from './entry.js';
import { Live } from './live.js';
import { base, keepAtEnd, sentence, showNotice } from './page.js';
import { TERMINAL } from './session.js';
import { followStream, newKey, shareStream, TidegateError } from './tidegate.js';

/** Where nobody has credentials, everybody may read every stream: nothing is lent to whoever names one. */
const ANYBODY = 'anonymous';

export class Answers {
  /** @param {Room} room */
  constructor(room) {
    this._room = room;
    /** @type {Map<Answer, AnswerView>} */
    this._views = new Map();
    /** @type {Map<Answer, Live>} Those that are being followed. */
    this._lives = new Map();
  }

  /**
   * @param {string} model
   * @param {{role: string, content: string}[]} messages
   */
  async ask(model, messages) {
    const { socket, tell, own, principal } = this._room;
    try {
      const { stream } = await socket.call('create', { model, messages, attach: false, key: newKey() });
      own.ask(stream);
      const token = principal() === ANYBODY ? '' : (await shareStream(stream, { base })).token;
      await tell({ kind: 'answer', stream, model, token }, stream);
    } catch (error) {
      const { message } = /** @type {Error} */ (error);
      showNotice(`${model} could not be asked: ${sentence(message)}`, 'Try again', () => {
        showNotice('');
        this.ask(model, messages);
      });
    }
  }

  /** @param {Answer} answer */
  show(answer) {
    const own = this._isOwn(answer);
    const view = new AnswerView(answer, own ? 'you' : answer.name, own ? () => this._stop(answer) : undefined);
    this._views.set(answer, view);
    this._room.add(view.node);
    if (this._room.principal()) this._follow(answer, false);
  }

  /** Those that nobody has said the end of. */
  followAll() {
    for (const answer of this._views.keys()) if (answer.turn.status === 'live') this._follow(answer, true);
  }

  /** @param {Answer} answer Whoever asked says how it ended. Who follows it has seen that, or is about to. */
  end(answer) {
    const view = this._views.get(answer);
    if (!view || this._lives.has(answer) || TERMINAL.has(answer.turn.status)) return;
    Object.assign(answer.turn, answer.end);
    view.view.takeAsHeard();
    view.showEnd();
    keepAtEnd();
  }

  /** @param {import('./tidegate.js').State} state @param {import('./tidegate.js').StateDetail} detail Of the socket. */
  showConnection(state, detail) {
    for (const [answer, live] of this._lives) if (this._isOnSocket(answer)) live.show(state, detail);
  }

  /** @param {Answer} answer @param {boolean} whole Whether somebody who comes late reads it. */
  _follow(answer, whole) {
    const { stream, token, turn } = answer;
    const live = new Live(/** @type {AnswerView} */ (this._views.get(answer)).view);
    this._lives.set(answer, live);
    const onEvent = (/** @type {import('./tidegate.js').StreamEvent} */ event) => {
      live.take(event);
      if (turn.status !== 'live') this._over(answer, live);
    };
    const onRefused = (/** @type {Error} */ error) => {
      Object.assign(turn, answer.end ?? { status: 'lost', error: lostText(error) });
      this._over(answer, live);
    };
    if (this._isOnSocket(answer)) {
      live.show('connecting', {});
      live.show('streaming', {});
      this._room.socket.attach(stream, { whole, onEvent, onRefused });
    } else if (token) {
      const onState = live.show.bind(live);
      followStream(stream, { base, token, whole, onEvent, onState }).catch(onRefused);
    } else {
      onRefused(new Error('It was not shared with this room.'));
    }
  }

  /** @param {Answer} answer Whether this tab has asked for it. */
  _isOwn({ stream }) {
    return this._room.own.hasAsked(stream);
  }

  /** @param {Answer} answer Whether it is read as the page's user. */
  _isOnSocket(answer) {
    return this._isOwn(answer) || (!answer.token && this._room.principal() === ANYBODY);
  }

  /** @param {Answer} answer @param {Live} live The stream has no more to give. */
  _over(answer, live) {
    live.end();
    this._lives.delete(answer);
    this._views.get(answer)?.showEnd();
    const { stream, turn } = answer;
    if (!this._isOwn(answer) || answer.end || turn.status === 'lost') return;
    const { status, text, error, reason, usage } = turn;
    // Should it fail, those who come later read the stream itself, while that is kept.
    const end = { kind: 'answered', stream, turn: { status, text, error, reason, usage } };
    this._room.tell(end, `answered:${stream}`).catch(() => {});
  }

  /** @param {Answer} answer */
  async _stop(answer) {
    this._lives.get(answer)?.showStopping();
    try {
      await this._room.socket.call('cancel', { stream: answer.stream });
    } catch (error) {
      showNotice(`It could not be stopped: ${sentence(/** @type {Error} */ (error).message)}`);
    }
  }
}

/** @param {Error} error */
function lostText(error) {
  const gone = error instanceof TidegateError && (error.status === 404 || error.status === 401);
  return gone ? 'The server no longer knows this answer.' : sentence(error.message);
}
