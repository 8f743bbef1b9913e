/**
 * An incremental decoder of event streams, after the WHATWG HTML standard, section 9.2.6.
 *
 * @typedef {object} SseMessage
 * @property {string} event The event's name; `message` where it has none.
 * @property {string} data
 * @property {string} id The last event id.
 * @property {boolean} ownId Whether its own block had one.
 * @property {number | null} retryMs What its own block asked for.
 */

/** Turns the bytes of an event stream into messages, however they are cut into chunks. */
export class SseDecoder {
  /** What a reader that comes back sends as `Last-Event-ID`. */
  lastEventId = '';
  /** @type {number | null} What it should wait before, in milliseconds. */
  retryMs = null;
  /** @type {string[]} Those since somebody has emptied it. The first of tidegate's says the heartbeat. */
  comments = [];
  // It keeps a character that is not whole for the next chunk. Byte order marks are left to `#lines`: decoders
  // disagree on a second one when the first came in pieces.
  #utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  #begun = false;
  #afterCr = false;
  #rest = '';
  #id = '';
  #block = emptyBlock();

  /**
   * @param {Uint8Array} chunk
   * @returns {SseMessage[]} The messages that end in this chunk.
   */
  feed(chunk) {
    /** @type {SseMessage[]} */
    const messages = [];
    for (const line of this.#lines(this.#utf8.decode(chunk, { stream: true }))) {
      if (line) this.#field(line);
      else this.#dispatch(messages);
    }
    return messages;
  }

  /** @param {string} text */
  #lines(text) {
    if (!text) return [];
    if (!this.#begun) text = text.replace(/^\ufeff/, '');
    // A CR ends its line at once; should the LF of the pair come later, it is dropped.
    if (this.#afterCr) text = text.replace(/^\n/, '');
    this.#begun = true;
    this.#afterCr = text.endsWith('\r');
    const lines = text.split(/\r\n?|\n/);
    lines[0] = this.#rest + lines[0];
    this.#rest = lines.pop() ?? '';
    return lines;
  }

  /** @param {string} line */
  #field(line) {
    const [, name, value = ''] = /** @type {RegExpExecArray} */ (/^([^:]*)(?:: ?(.*))?$/s.exec(line));
    const block = this.#block;
    if (line[0] === ':') {
      this.comments.push(value);
    } else if (name === 'data') {
      block.data.push(value);
    } else if (name === 'event') {
      block.event = value;
    } else if (name === 'id' && !value.includes('\0')) {
      this.#id = value;
      block.ownId = true;
    } else if (name === 'retry' && /^\d{1,15}$/.test(value)) {
      this.retryMs = block.retryMs = Number(value);
    }
  }

  /** @param {SseMessage[]} messages */
  #dispatch(messages) {
    const { event, data, ownId, retryMs } = this.#block;
    const id = (this.lastEventId = this.#id);
    if (data.length) messages.push({ event: event || 'message', data: data.join('\n'), id, ownId, retryMs });
    this.#block = emptyBlock();
  }
}

/** @returns {{data: string[], event: string, ownId: boolean, retryMs: number | null}} */
function emptyBlock() {
  return { data: [], event: '', ownId: false, retryMs: null };
}
