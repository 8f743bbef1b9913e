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
 *
 * @typedef {object} Place What the server has.
 * @property {string} id
 * @property {string} cursor The position after it.
 * @property {number} offset How many events it has.
 * @property {string} text What an earlier run of the program with the same key has written.
 * @typedef {Awaited<ReturnType<typeof produce>>} Producer One stream that this program fills.
 * @typedef {import('./request.js').Options & Producing} ProduceOptions `signal` leaves the stream as it is.
 */

import { malformed, TidegateError } from './error.js';
import { insist } from './insist.js';
import { BATCH, LEASE_SECONDS, MAX_CHARACTERS } from './limits.js';
import { call, newKey, pathOf } from './request.js';
import { parsed, TERMINAL } from './session.js';
import { newTurn, under, within } from './wait.js';

/**
 * Opens a stream that this program fills.
 *
 * @param {ProduceOptions} [options]
 */
export async function produce({ key = newKey(), metadata, ...options } = {}) {
  const body = { producer: 'client', metadata };
  /** @type {{lease: any} & Place} */
  const { lease, ...place } = await posted('v1/streams', body, LEASE_SECONDS, { ...options, key });
  if (!place.id) throw malformed('stream');
  const done = under();
  const over = under(options.signal, done);
  const { signal } = over;
  /** @type {string[]} Events as they were when they were appended: a caller may go on with the same object. */
  const waiting = [];
  /** Of what the server does not have yet. */
  let size = 0;
  let turn = newTurn();

  const changed = () => {
    turn.resolve();
    turn = newTurn();
  };

  /** @param {ProducedEvent} event */
  const add = async (event) => {
    signal.throwIfAborted();
    if (producer.ended) throw new TidegateError('It has ended.', { status: 409, code: 'stream_ended' });
    const json = JSON.stringify(event);
    const isEnd = (producer.ended = TERMINAL.has(event.type));
    waiting.push(json);
    size += json.length;
    changed();
    while (size > (isEnd ? 0 : MAX_CHARACTERS)) {
      await turn.promise;
      signal.throwIfAborted();
    }
  };

  const run = async () => {
    while (!producer.ended || size) {
      /** @type {any} With nothing to send the lease is renewed, because the model is silent. */
      const timer = setTimeout(changed, 333 * lease.seconds);
      // A program that has nothing else to do may end.
      timer.unref?.();
      if (!waiting.length) await turn.promise;
      clearTimeout(timer);
      let sent = 0;
      const full = waiting.findIndex((json) => (sent += json.length) > BATCH);
      const events = waiting.splice(0, full + 1 || waiting.length).map(parsed);
      const body = { lease: lease.token, expected_offset: producer.offset, events };
      const appended = await posted(`${pathOf('stream', place.id)}/append`, body, lease.seconds, { ...options, signal });
      Object.assign(producer, appended);
      size -= sent;
      changed();
    }
  };

  const producer = {
    ...place,
    /** Whether nothing more can be appended. */
    ended: !lease,
    /** Aborted when the work is in vain: ended by a reader, fenced, refused, left. Give it to the model. */
    signal,

    /**
     * Appends a piece of the answer.
     *
     * @param {string} piece
     * @returns {Promise<void>} As that of `append`.
     */
    delta: (piece) => producer.append('delta', { text: piece }),

    /**
     * Appends an event.
     *
     * @param {ProducedType} type
     * @param {object} data
     * @returns {Promise<void>} Resolves when there is room for more, at once as a rule; that of an end, when the server
     * has everything. Rejects with the reason of `signal`. Who does not wait for it misses nothing but the brake.
     */
    append(type, data) {
      const done = add({ type, data });
      done.catch(() => {});
      return done;
    },

    /**
     * Ends the stream as completed.
     *
     * @param {{finish_reason?: 'stop' | 'length' | 'tool_calls' | 'content_filter', usage?: object}} [data]
     * @returns {Promise<void>} Resolves when the server has all of it.
     */
    complete: (data) => producer.append('completed', { finish_reason: 'stop', ...data }),

    /**
     * Ends the stream as failed.
     *
     * @param {string} message What readers are told.
     * @param {string} [code]
     * @returns {Promise<void>} Resolves when the server has all of it.
     */
    fail: (message, code = 'producer_failed') =>
      producer.append('failed', { error: { type: 'server_error', code, message } }),

    /** Leaves the stream as it is. Unless it is opened again by its key, it fails when the lease runs out. */
    close: () => over.abort(),
  };

  signal.addEventListener('abort', changed);
  within(done, run()).catch((error) => over.abort(error));
  return producer;
}

/**
 * Posts until there is an answer, often enough that the lease does not run out meanwhile.
 *
 * @param {string} path
 * @param {object} body
 * @param {number} lease In seconds.
 * @param {ProduceOptions} options
 * @returns {Promise<any>}
 */
function posted(path, body, lease, { attempts = 30, signal, ...options }) {
  const patienceMs = Math.max(500 * lease, 2000);
  const once = () => call('POST', path, { ...options, signal, patienceMs }, body);
  return insist(once, { attempts, maxDelay: 333 * lease, signal });
}
