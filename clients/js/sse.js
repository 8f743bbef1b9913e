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
export function newDecoder() {
  // It keeps a character that is not whole for the next chunk. Byte order marks are left to `linesOf`: decoders
  // disagree on a second one when the first came in pieces.
  const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });
  let hasBegun = false;
  let afterCr = false;
  let rest = '';
  let id = '';
  let block = emptyBlock();

  /** @param {string} text */
  const linesOf = (text) => {
    if (!text) return [];
    if (!hasBegun) text = text.replace(/^\ufeff/, '');
    // A CR ends its line at once; should the LF of the pair come later, it is dropped.
    if (afterCr) text = text.replace(/^\n/, '');
    hasBegun = true;
    afterCr = text.endsWith('\r');
    const lines = text.split(/\r\n?|\n/);
    lines[0] = rest + lines[0];
    rest = lines.pop() ?? '';
    return lines;
  };

  /** @param {string} line */
  const field = (line) => {
    const [, name, value = ''] = /** @type {RegExpExecArray} */ (/^([^:]*)(?:: ?(.*))?$/s.exec(line));
    if (line[0] === ':') {
      decoder.comments.push(value);
    } else if (name === 'data') {
      block.data.push(value);
    } else if (name === 'event') {
      block.event = value;
    } else if (name === 'id' && !value.includes('\0')) {
      id = value;
      block.ownId = true;
    } else if (name === 'retry' && /^\d{1,15}$/.test(value)) {
      decoder.retryMs = block.retryMs = Number(value);
    }
  };

  const decoder = {
    /** What a reader that comes back sends as `Last-Event-ID`. */
    lastEventId: '',
    /** @type {number | null} What it should wait before, in milliseconds. */
    retryMs: null,
    /** @type {string[]} Those since somebody has emptied it. The first of tidegate's says the heartbeat. */
    comments: [],

    /**
     * @param {Uint8Array} chunk
     * @returns {SseMessage[]} The messages that end in this chunk.
     */
    feed(chunk) {
      /** @type {SseMessage[]} */
      const messages = [];
      for (const line of linesOf(utf8.decode(chunk, { stream: true }))) {
        if (line) {
          field(line);
          continue;
        }
        decoder.lastEventId = id;
        if (block.data.length) {
          messages.push({ ...block, event: block.event || 'message', data: block.data.join('\n'), id });
        }
        block = emptyBlock();
      }
      return messages;
    },
  };
  return decoder;
}

/** @returns {{data: string[], event: string, ownId: boolean, retryMs: number | null}} */
function emptyBlock() {
  return { data: [], event: '', ownId: false, retryMs: null };
}
