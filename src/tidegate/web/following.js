/** The following of one turn, from wherever it stands to its end: not yet started, or in mid-answer after a refresh. */

import { MAX_DELAY_MS } from './connection.js';
import { explained } from './failures.js';
import { askForKey, keyNumber, wantsKey } from './key.js';
import { t } from './language.js';
import { messageOf, showNotice } from './page.js';
import { settings } from './settings.js';
import { cancelStream, followStream, readStream, startStream, TidegateError } from './tidegate.js';
import { settle } from './turn.js';

/**
 * @typedef {import('./conversation.js').Conversation} Conversation
 * @typedef {import('./live.js').Live} Live
 */

const SAVE_EVERY_MS = 1000;
const LOOK_SOON_MS = 700;
const LOOK_EVERY_MS = 2000;

/** A browser makes six connections to a host, and calls need some. A WebSocket, which takes all others, is none. */
const MOST_OVER_SSE = 4;

/** @type {Set<Live>} What is followed over SSE in this page, whichever conversation is open. */
const overSse = new Set();

export class Following {
  /** @param {Conversation} conversation @param {Live} live @param {() => void} onEnd */
  constructor(conversation, live, onEnd) {
    this._conversation = conversation;
    this.live = live;
    this._onEnd = onEnd;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._saving = undefined;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this._looking = undefined;
    live.signal.addEventListener('abort', () => this._quiet());
    this._run();
  }

  save() {
    clearTimeout(this._saving);
    this._saving = undefined;
    this._conversation.save(this.live.turn);
  }

  /** Asks the server for the end, which comes to this reader like every other event. */
  async stop() {
    const { live } = this;
    const { turn } = live;
    if (live.stopping || !(turn.id || live.reachable)) {
      this._endHere();
      return;
    }
    live.showStopping(true);
    if (turn.id) await this._cancel(turn.id);
  }

  /** @param {string} id */
  async _cancel(id) {
    try {
      // The call also wakes the reader, where the connection is broken.
      await cancelStream(id);
    } catch (error) {
      if (this._isFollowed) this._notStopped(error);
      return;
    }
    if (this._isFollowed && this.live.halted) this._run();
  }

  get _isFollowed() {
    return this.live.turn.status === 'live' && !this.live.signal.aborted;
  }

  /** @param {unknown} error */
  _notStopped(error) {
    const { live } = this;
    const isRefused = error instanceof TidegateError && !error.passing;
    if (!isRefused || !live.reachable) {
      this._endHere();
      return;
    }
    live.showStopping(false);
    showNotice(t('It could not be stopped: {why}', { why: explained(error) }));
  }

  /** The server, which has not been heard, has the last word once it can be asked. */
  _endHere() {
    const { live } = this;
    live.stop();
    Object.assign(live.turn, { status: 'cancelled', unsettled: live.turn.id !== '' });
    this._end();
  }

  async _run() {
    const { live } = this;
    const { turn } = live;
    const sentKey = keyNumber();
    this._lookIn(LOOK_SOON_MS);
    let end = null;
    try {
      end = await this._follow();
      if (turn.status === 'live') settle(turn, await readStream(turn.id));
    } catch (error) {
      if (turn.status === 'live' && !live.signal.aborted) this._failed(error, sentKey);
    }
    if (turn.status === 'live' || live.signal.aborted) return;
    this._end();
    if (end && turn.seconds === null) this._measure();
  }

  /** Who has not seen it all asks how long it took; the answer is whole without that. */
  async _measure() {
    const { turn, view } = this.live;
    try {
      settle(turn, await readStream(turn.id));
    } catch {
      return;
    }
    this.save();
    view.showEnd();
  }

  async _follow() {
    const { live } = this;
    live.transport = overSse.size < MOST_OVER_SSE ? settings.transport : 'websocket';
    if (live.transport === 'sse') overSse.add(live);
    try {
      return await (live.turn.id ? followStream(live.turn.id, this._options()) : this._start());
    } finally {
      overSse.delete(live);
    }
  }

  _start() {
    const { turn } = this.live;
    return startStream(this._conversation.request(turn), {
      ...this._options(),
      key: turn.key,
      onStart: (/** @type {string} */ id) => {
        turn.id = id;
        this.save();
        if (this.live.stopping) this._cancel(id);
      },
    });
  }

  _options() {
    const { live } = this;
    return {
      after: live.turn.cursor,
      maxDelay: MAX_DELAY_MS,
      transport: live.transport,
      signal: live.signal,
      onEvent: (/** @type {import('./tidegate.js').StreamEvent} */ event) => {
        live.take(event);
        this._saving ??= setTimeout(() => this.save(), SAVE_EVERY_MS);
      },
      onState: live.show.bind(live),
    };
  }

  /** Before the first piece, a look now and then tells whether the model has begun, and who is before. */
  async _look() {
    const { live } = this;
    const isWaiting = () => live.turn.status === 'live' && !live.standing.doing && !live.signal.aborted;
    if (!isWaiting()) return;
    const { id } = live.turn;
    const unknown = { status: 'queued', queue_position: null };
    const known = id && live.reachable ? readStream(id).catch(() => unknown) : unknown;
    const { status, queue_position: place } = await known;
    if (!isWaiting()) return;
    live.showPlace(place);
    if (status === 'queued') this._lookIn(LOOK_EVERY_MS);
  }

  /** @param {number} ms */
  _lookIn(ms) {
    clearTimeout(this._looking);
    this._looking = setTimeout(() => this._look(), ms);
  }

  /** @param {unknown} error @param {number} sentKey */
  _failed(error, sentKey) {
    const { turn } = this.live;
    if (wantsKey(error)) {
      this.live.waitFor(t('Waiting for the API key'));
      askForKey(sentKey, () => {
        if (!this.live.signal.aborted) this._run();
      });
      return;
    }
    const failure = error instanceof TidegateError ? error : { message: messageOf(error) };
    const { code = '', requestId = '' } = /** @type {Partial<TidegateError>} */ (failure);
    if (turn.id && code !== 'stream_not_found') this._halt(explained(failure));
    else Object.assign(turn, { status: turn.id ? 'lost' : 'failed', error: messageOf(error), code, requestId });
  }

  /** @param {string} why The answer may be whole on the server: its reader, or a refresh, has it followed again. */
  _halt(why) {
    this.save();
    this._quiet();
    this.live.halt(why, { label: t('Try again'), run: () => this._run() });
  }

  _end() {
    this._quiet();
    this.save();
    this.live.end();
    this._onEnd();
  }

  _quiet() {
    clearTimeout(this._looking);
    clearTimeout(this._saving);
    this._saving = undefined;
  }
}
