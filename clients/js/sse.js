/** An incremental decoder of event streams, after the WHATWG HTML standard, section 9.2.6. */

import { malformed } from './error.js';
import { MAX_LINE } from './limits.js';

/**
 * Turns the bytes of an event stream into messages, however they are cut into chunks.
 *
 * @param {object} on What it tells of, in the order of the stream.
 * @param {(text: string) => void} on.comment The first of tidegate's says the heartbeat.
 * @param {(ms: number) => void} on.retry
 * @param {(type: string, data: string, id: string, isOwn: boolean) => void} on.event `type` is `message` where it has
 * none; `id` the last one; `isOwn`: its own block had it.
 * @returns {(chunk: Uint8Array) => void}
 */
export function newDecoder({ comment, retry, event }) {
  // It keeps a character that is not whole for the next chunk. The byte order mark is left to `dropped`: decoders
  // disagree on a second one when the first came in pieces.
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  /**
   * After a CR, which ends its line at once, the LF of the pair.
   *
   * @type {RegExp | string}
   */
  let dropped = /^\ufeff/;
  let rest = '';
  let id = '';
  let isOwn = false;
  let type = '';
  /** @type {string[]} */
  let data = [];

  /** @param {string} line */
  const take = (line) => {
    const [, name, value = ''] = /** @type {RegExpExecArray} */ (/^([^:]*)(?:: ?(.*))?$/s.exec(line));
    if (!line) {
      if (data.length) event(type || 'message', data.join('\n'), id, isOwn);
      data = [];
      type = '';
      isOwn = false;
    } else if (!name) {
      comment(value);
    } else if (name === 'data') {
      data.push(value);
    } else if (name === 'event') {
      type = value;
    } else if (name === 'id' && !value.includes('\0')) {
      id = value;
      isOwn = true;
    } else if (name === 'retry' && /^\d{1,15}$/.test(value)) {
      retry(Number(value));
    }
  };

  return (chunk) => {
    let text = utf8.decode(chunk, { stream: true });
    if (!text) return;
    text = text.replace(dropped, '');
    dropped = text.endsWith('\r') ? /^\n/ : '';
    const lines = text.split(/\r\n?|\n/);
    lines[0] = rest + lines[0];
    rest = lines.pop() ?? '';
    lines.forEach(take);
    if (rest.length > MAX_LINE) throw malformed('event stream');
  };
}
