/**
 * Fills a stream from a program: an agent, a job, a model in this process.
 *
 * What is appended waits here until the server has it: while one request is under way the next events gather, and go
 * together. A request that broke is repeated as it was, since the server takes the same append once.
 *
 * @typedef {'delta' | 'reasoning' | 'tool_call' | 'completed' | 'cancelled' | 'failed'} ProducedType
 * @typedef {{type: ProducedType, data: object}} ProducedEvent
 *
 * @typedef {object} Producing
 * @property {string} [key] Names the work: a program that starts again with its key goes on with the same stream, and
 * one that still fills it is fenced. Default: a stream of its own.
 * @property {Record<string, string>} [metadata]
 * @property {number} [attempts] So many tries after a break may fail in a row; default 30, which take a minute.
 * @typedef {import('./request.js').Options & Producing} ProduceOptions `signal` leaves the stream as it is.
 */

import { broken, TidegateError } from './error.js';
import { insist } from './insist.js';
import { call, newKey, pathOf } from './request.js';
import { TERMINAL } from './session.js';
import { either } from './wait.js';

/** So many characters may wait; beyond it `await` waits, too. */
const MAX_WAITING = 1_000_000;

/** What one request takes, so that it is over long before the lease is. */
const BATCH = 50_000;

/** A server's default, until it has told its own. */
const LEASE_SECONDS = 5;

/**
 * Opens a stream that this program fills.
 *
 * @param {ProduceOptions} [options]
 * @returns {Promise<Producer>}
 */
export async function produce(options = {}) {
  const { key = newKey(), metadata = {} } = options;
  const headers = { 'idempotency-key': key };
  const opened = await posted('v1/streams', { producer: 'client', metadata }, LEASE_SECONDS, { ...options, headers });
  return new Producer(opened, options);
}

/** One stream that this program fills; `produce` opens it. */
export class Producer {
  #options;
  #lease;
  /** @type {ProducedEvent[]} */
  #waiting = [];
  #size = 0;
  #isWhole = false;
  #over = new AbortController();
  #turn = Promise.withResolvers();

  /** @param {any} opened @param {ProduceOptions} options */
  constructor(opened, options) {
    /** @type {string} */
    this.id = opened.id;
    /** @type {string} The position after what the server has. */
    this.cursor = opened.cursor;
    /** @type {number} How many events the server has. */
    this.offset = opened.offset;
    /** @type {string} What an earlier run of the program with the same key has written. */
    this.text = opened.text;
    /** Whether nothing more can be appended. */
    this.ended = !opened.lease;
    /** Aborted when the work is in vain: ended by a reader, fenced, refused, left. Give it to the model. */
    this.signal = either(this.#over.signal, options.signal);
    this.signal.addEventListener('abort', () => this.#changed());
    this.#options = { ...options, signal: this.signal };
    this.#lease = opened.lease;
    if (this.#lease) this.#run();
  }

  /**
   * Appends a piece of the answer.
   *
   * @param {string} text
   * @returns {Promise<void>} As that of `append`.
   */
  delta(text) {
    return this.append('delta', { text });
  }

  /**
   * Appends an event.
   *
   * @param {ProducedType} type
   * @param {object} data
   * @returns {Promise<void>} Resolves when there is room for more, at once as a rule; that of an end, when the server
   * has everything. Rejects with the reason of `signal`. Who does not wait for it misses nothing but the brake.
   */
  append(type, data) {
    const done = this.#add({ type, data });
    done.catch(() => {});
    return done;
  }

  /**
   * Ends the stream as completed.
   *
   * @param {{finish_reason?: 'stop' | 'length' | 'tool_calls' | 'content_filter', usage?: object}} [data]
   * @returns {Promise<void>} Resolves when the server has all of it.
   */
  complete(data) {
    return this.append('completed', { finish_reason: 'stop', ...data });
  }

  /**
   * Ends the stream as failed.
   *
   * @param {string} message What readers are told.
   * @param {string} [code]
   * @returns {Promise<void>} Resolves when the server has all of it.
   */
  fail(message, code = 'producer_failed') {
    return this.append('failed', { error: { type: 'server_error', code, message } });
  }

  /** Leaves the stream as it is. Unless it is opened again by its key, it fails when the lease runs out. */
  close() {
    this.#over.abort();
  }

  /** @param {ProducedEvent} event */
  async #add(event) {
    this.signal.throwIfAborted();
    if (this.ended) throw new TidegateError('The stream has ended.', { status: 409, code: 'stream_ended' });
    const isEnd = (this.ended = TERMINAL.has(event.type));
    this.#waiting.push(event);
    this.#size += sizeOf(event);
    this.#changed();
    while (isEnd ? !this.#isWhole : this.#size > MAX_WAITING) {
      await this.#turn.promise;
      this.signal.throwIfAborted();
    }
  }

  async #run() {
    try {
      while (!this.#isWhole) {
        await this.#something();
        await this.#send();
        this.#isWhole = this.ended && !this.#waiting.length;
        this.#changed();
      }
    } catch (error) {
      this.#over.abort(error);
    }
  }

  /** Waits until there is something to send; with nothing the lease is renewed, because the model is silent. */
  async #something() {
    if (this.#waiting.length) return;
    /** @type {any} */
    const timer = setTimeout(() => this.#changed(), 333 * this.#lease.seconds);
    // A program that has nothing else to do may end.
    timer.unref?.();
    await this.#turn.promise;
    clearTimeout(timer);
  }

  async #send() {
    let size = 0;
    const full = this.#waiting.findIndex((event) => (size += sizeOf(event)) > BATCH);
    const events = this.#waiting.splice(0, full + 1 || this.#waiting.length);
    const body = { lease: this.#lease.token, expected_offset: this.offset, events };
    const answer = await posted(`${pathOf('stream', this.id)}/append`, body, this.#lease.seconds, this.#options);
    this.cursor = answer.cursor;
    this.offset = answer.offset;
    this.#size -= size;
  }

  #changed() {
    const { resolve } = this.#turn;
    this.#turn = Promise.withResolvers();
    resolve(undefined);
  }
}

/**
 * Posts until there is an answer, often enough that the lease does not run out meanwhile.
 *
 * @param {string} path
 * @param {object} body
 * @param {number} lease In seconds.
 * @param {ProduceOptions & {headers?: Record<string, string>}} options
 * @returns {Promise<any>}
 */
function posted(path, body, lease, { attempts = 30, signal, ...options }) {
  const once = () => {
    const late = AbortSignal.timeout(Math.max(500 * lease, 2000));
    const isLate = (/** @type {unknown} */ error) => (late.aborted ? broken(error) : Promise.reject(error));
    return call('POST', path, { ...options, signal: either(late, signal) }, body).catch(isLate);
  };
  return insist(once, { attempts, maxDelay: 333 * lease, signal });
}

/** @param {ProducedEvent} event */
function sizeOf(event) {
  return JSON.stringify(event).length;
}
