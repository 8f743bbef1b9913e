/**
 * An incremental decoder of event streams, after the WHATWG HTML standard, section 9.2.6.
 *
 * @typedef {object} SseMessage
 * @property {string} event The event's name; `message` where it has none.
 * @property {string} data
 * @property {string} id The last event id.
 * @property {number | null} retryMs What its own block asked for.
 */

/** Turns the bytes of an event stream into messages, however they are cut into chunks. */
export class SseDecoder {
  constructor() {
    /** What a reader that comes back sends as `Last-Event-ID`. */
    this.lastEventId = '';
    /** @type {number | null} What it should wait before, in milliseconds. */
    this.retryMs = null;
    // It keeps a character that is not whole for the next chunk. Byte order marks are left to `_lines`: decoders
    // disagree on a second one when the first came in pieces.
    this._utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
    this._begun = false;
    this._rest = '';
    this._afterCr = false;
    this._id = '';
    this._clear();
  }

  /**
   * @param {Uint8Array} chunk
   * @returns {SseMessage[]} The messages that end in this chunk.
   */
  feed(chunk) {
    /** @type {SseMessage[]} */
    const messages = [];
    for (const line of this._lines(this._utf8.decode(chunk, { stream: true }))) {
      if (line) this._field(line);
      else this._dispatch(messages);
    }
    return messages;
  }

  /** @param {string} text */
  _lines(text) {
    if (!this._begun && text) {
      this._begun = true;
      if (text[0] === '\ufeff') text = text.slice(1);
    }
    if (this._afterCr && text) {
      // A CR ends its line at once; should the LF of the pair come later, it is dropped.
      this._afterCr = false;
      if (text[0] === '\n') text = text.slice(1);
    }
    this._afterCr ||= text.endsWith('\r');
    const lines = text.split(/\r\n|\r|\n/);
    lines[0] = this._rest + lines[0];
    this._rest = lines.pop() ?? '';
    return lines;
  }

  /** @param {string} line */
  _field(line) {
    const [, name, value = ''] = /** @type {RegExpExecArray} */ (/^([^:]*)(?:: ?(.*))?$/s.exec(line));
    if (name === 'data') {
      this._data.push(value);
    } else if (name === 'event') {
      this._event = value;
    } else if (name === 'id') {
      if (!value.includes('\0')) this._id = value;
    } else if (name === 'retry' && /^[0-9]{1,15}$/.test(value)) {
      this.retryMs = this._retryMs = Number(value);
    }
  }

  /** @param {SseMessage[]} messages */
  _dispatch(messages) {
    this.lastEventId = this._id;
    if (this._data.length) {
      messages.push({
        event: this._event || 'message',
        data: this._data.join('\n'),
        id: this.lastEventId,
        retryMs: this._retryMs,
      });
    }
    this._clear();
  }

  _clear() {
    /** @type {string[]} */
    this._data = [];
    this._event = '';
    /** @type {number | null} */
    this._retryMs = null;
  }
}
