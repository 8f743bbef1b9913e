/**
 * The answers in a room: asked for, followed by everybody, stopped by whoever asked.
 *
 * A stream is its owner's, so whoever asked shares it where people have credentials of their own, and the others read
 * it by that token. With its own credentials a tab reads only what it has started itself: a message may name any
 * stream, and what is read for it is shown, and told to the room.
 *
 * @typedef {import('./talk.js').Answer} Answer
 * @typedef {import('./tidegate.js').FollowOptions} FollowOptions
 *
 * @typedef {object} Room
 * @property {(data: object, key: string) => Promise<unknown>} tell Publishes to the room.
 * @property {import('./own.js').Own} own What this tab has started.
 * @property {(node: HTMLElement) => void} add Puts it at the end of the page.
 * @property {() => 'sse' | 'websocket'} transport
 * @property {() => string} principal Who the server takes this tab for; empty until the history has been read.
 */

import { MAX_DELAY_MS } from './connection.js';
import { AnswerView } from './entry.js';
import { explained } from './failures.js';
import { askForKey, keyNumber, wantsKey } from './key.js';
import { t } from './language.js';
import { Live } from './live.js';
import { base, keepAtEnd, showNotice } from './page.js';
import { call } from './request.js';
import { cancelStream, followStream, newKey, shareStream, TERMINAL } from './tidegate.js';

/** Where nobody has credentials, everybody may read every stream: nothing is lent to whoever names one. */
const ANYBODY = 'anonymous';

/** A browser makes six connections to a host, and what is asked of it needs some: so many answers have one at a time. */
const MOST_FOLLOWED = 4;

/** @typedef {{live: Live, whole: boolean, leaving?: AbortController}} Reading `leaving`: while it is followed. */

export class Answers {
  /** @param {Room} room */
  constructor(room) {
    this._room = room;
    /** @type {Map<Answer, AnswerView>} */
    this._views = new Map();
    /** @type {Map<Answer, Reading>} Those that are being written, the oldest first. */
    this._readings = new Map();
  }

  /**
   * @param {import('./talk.js').Said} question
   * @param {{role: string, content: string}[]} messages
   * @param {string} [key] The same for each try: what a try has started, the next one finds.
   */
  async ask(question, messages, key = newKey()) {
    const { tell, own, principal } = this._room;
    const { id, to: model } = question;
    const sentKey = keyNumber();
    const again = () => this.ask(question, messages, key);
    try {
      const stream = await start({ model, messages, background: true }, key);
      own.ask(stream);
      const token = principal() === ANYBODY ? '' : (await shareStream(stream, { base })).token;
      await tell({ kind: 'answer', stream, model, question: id, token }, stream);
    } catch (error) {
      if (wantsKey(error)) askForKey(sentKey, again);
      else showRefusal(model, error, again);
    }
  }

  /** @param {Answer} answer */
  show(answer) {
    const own = this._isOwn(answer);
    const view = new AnswerView(answer, own ? () => this._stop(answer) : undefined);
    this._views.set(answer, view);
    this._room.add(view.node);
    this._dropOldest();
    if (!this._room.principal()) return;
    this._begin(answer, false);
    this._followNewest();
  }

  /** Those that nobody has said the end of. */
  followAll() {
    for (const answer of this._views.keys()) if (answer.turn.status === 'live') this._begin(answer, true);
    this._followNewest();
  }

  /** @param {Answer} answer Whoever asked says how it ended. Who follows it has seen that, or is about to. */
  end(answer) {
    const view = this._views.get(answer);
    const reading = this._readings.get(answer);
    if (!view || reading?.leaving || TERMINAL.has(answer.turn.status)) return;
    Object.assign(answer.turn, answer.end);
    view.view.takeAsHeard();
    if (reading) this._over(answer, reading.live);
    view.showEnd();
    keepAtEnd();
  }

  /** @param {Answer} answer @param {boolean} whole Whether somebody who comes late reads it. */
  _begin(answer, whole) {
    const live = new Live(/** @type {AnswerView} */ (this._views.get(answer)).view);
    if (this._wayTo(answer)) this._readings.set(answer, { live, whole });
    else this._lost(answer, live, { code: 'not_shared', message: '' });
  }

  /** Each stream once, whatever number of messages name it; the others go on from where they are when they may. */
  _followNewest() {
    /** @type {Map<string, Answer>} */
    const newest = new Map();
    for (const answer of [...this._readings.keys()].reverse()) {
      if (newest.size < MOST_FOLLOWED && !newest.has(answer.stream)) newest.set(answer.stream, answer);
    }
    for (const [answer, reading] of this._readings) {
      if (newest.get(answer.stream) !== answer) leave(reading);
      else if (!reading.leaving) this._follow(answer, reading);
    }
  }

  /** @param {Answer} answer @param {Reading} reading */
  _follow(answer, reading) {
    const { signal } = (reading.leaving = new AbortController());
    this._read(answer, reading, signal);
  }

  /** @param {Answer} answer @param {Reading} reading @param {AbortSignal} signal */
  async _read(answer, { live, whole }, signal) {
    const { turn, stream } = answer;
    const sentKey = keyNumber();
    const onEvent = (/** @type {import('./tidegate.js').StreamEvent} */ event) => {
      live.take(event);
      if (turn.status !== 'live') this._over(answer, live);
    };
    const place = turn.cursor ? { after: turn.cursor } : { snapshot: whole };
    const options = { ...this._wayTo(answer), ...place, signal };
    try {
      await followStream(stream, { ...options, onEvent, onState: live.show.bind(live) });
    } catch (error) {
      if (signal.aborted) return;
      if (wantsKey(error) && !options.token) {
        live.waitFor(t('Waiting for the API key'));
        askForKey(sentKey, () => signal.aborted || this._read(answer, { live, whole: true }, signal));
      } else {
        const { code, message } = /** @type {import('./tidegate.js').TidegateError} */ (error);
        this._lost(answer, live, { code: wantsKey(error) ? 'stream_not_found' : code, message });
      }
    }
    this._followNewest();
  }

  /**
   * How it is read: as the page's user, or by the token of a share.
   *
   * @param {Answer} answer
   * @returns {FollowOptions | undefined} None where it was not shared.
   */
  _wayTo(answer) {
    const own = this._isOwn(answer) || (!answer.token && this._room.principal() === ANYBODY);
    if (own) return { base, transport: this._room.transport(), maxDelay: MAX_DELAY_MS };
    return answer.token ? { base, token: answer.token, maxDelay: MAX_DELAY_MS } : undefined;
  }

  /** @param {Answer} answer Whether this tab has asked for it. */
  _isOwn({ stream }) {
    return this._room.own.hasAsked(stream);
  }

  /** @param {Answer} answer @param {Live} live @param {{code: string, message: string}} why */
  _lost(answer, live, { code, message: error }) {
    Object.assign(answer.turn, answer.end ?? { status: 'lost', code, error });
    this._over(answer, live);
  }

  /** @param {Answer} answer @param {Live} live The stream has no more to give. */
  _over(answer, live) {
    live.end();
    this._views.get(answer)?.showEnd();
    this._readings.delete(answer);
    const { stream, turn } = answer;
    if (!this._isOwn(answer) || answer.end || turn.status === 'lost') return;
    const { status, text, error, code, reason, usage } = turn;
    // Should it fail, those who come later read the stream itself, while that is kept.
    const end = { kind: 'answered', stream, turn: { status, text, error, code, reason, usage } };
    this._room.tell(end, `answered:${stream}`).catch(() => {});
  }

  /** Those that are no longer on the page. */
  _dropOldest() {
    for (const [answer, { node }] of this._views) {
      if (node.isConnected) return;
      const reading = this._readings.get(answer);
      reading?.leaving?.abort();
      reading?.live.leave();
      this._views.delete(answer);
      this._readings.delete(answer);
    }
  }

  /** @param {Answer} answer */
  async _stop(answer) {
    this._readings.get(answer)?.live.showStopping(true);
    try {
      await cancelStream(answer.stream, { base });
    } catch (error) {
      this._readings.get(answer)?.live.showStopping(false);
      showNotice(t('It could not be stopped: {why}', { why: explained(/** @type {Error} */ (error)) }));
    }
  }
}

/** @param {Reading} reading Others are newer. */
function leave(reading) {
  reading.leaving?.abort();
  reading.leaving = undefined;
  reading.live.waitFor(t('Goes on once newer answers have ended'));
}

/** @param {object} body @param {string} key @returns {Promise<string>} The stream's id. */
async function start(body, key) {
  return (await call('POST', 'v1/streams', { base, key }, body)).id;
}

/** @param {string} model @param {unknown} error @param {() => void} again */
function showRefusal(model, error, again) {
  const why = explained(/** @type {Error} */ (error));
  showNotice(t('{model} could not be asked: {why}', { model, why }), t('Try again'), () => {
    showNotice('');
    again();
  });
}
