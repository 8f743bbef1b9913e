/**
 * The turns of one conversation, as they are kept over a refresh.
 *
 * They live in the tab's sessionStorage: two tabs never mix, and nothing stays on the disk of a shared computer.
 * The text of an answer and its cursor are saved together, so whatever was saved last, following the stream from
 * there gives the rest exactly.
 *
 * @typedef {import('./session.js').StreamEvent} StreamEvent
 *
 * @typedef {object} Turn
 * @property {string} key The Idempotency-Key of the call; with it a refresh finds a stream whose id it never got.
 * @property {string} id Of the stream; empty until the server has named it.
 * @property {string} model
 * @property {string} question Empty where only the answer is known.
 * @property {string} text The answer so far.
 * @property {string} cursor
 * @property {'live' | 'completed' | 'cancelled' | 'failed' | 'lost'} status
 * @property {string} error Why it failed or was lost.
 * @property {string} reason Why it was completed or cancelled, where that is worth a word.
 * @property {{completion_tokens: number, estimated: boolean} | null} usage
 * @property {number} startedAt In milliseconds of this browser's clock.
 * @property {number | null} seconds From the question to the end; null where this browser did not see it all.
 * @property {boolean} unbroken Whether one connection brought it all.
 */

export class Conversation {
  /** @param {Pick<Storage, 'getItem' | 'setItem'>} storage @param {string} name */
  constructor(storage, name) {
    this._storage = storage;
    this._name = name;
    /** @type {Turn[]} */
    this.turns = JSON.parse(storage.getItem(name) ?? '[]');
  }

  /** The turn that is being answered. */
  get live() {
    const last = this.turns.at(-1);
    return last?.status === 'live' ? last : undefined;
  }

  /**
   * @param {string} question
   * @param {string} model
   * @param {string} key
   * @returns {Turn}
   */
  ask(question, model, key) {
    const turn = newTurn({ key, model, question });
    this.turns.push(turn);
    return turn;
  }

  /** Takes the last turn back, to be asked again. */
  takeBack() {
    return this.turns.pop();
  }

  /** The body of the call for the last turn. Questions that were never answered are left out. */
  request() {
    const turn = /** @type {Turn} */ (this.turns.at(-1));
    const earlier = this.turns.slice(0, -1).filter(({ text }) => text);
    return {
      model: turn.model,
      messages: [
        ...earlier.flatMap(({ question, text }) => [
          { role: 'user', content: question },
          { role: 'assistant', content: text },
        ]),
        { role: 'user', content: turn.question },
      ],
    };
  }

  clear() {
    this.turns = [];
    this.save();
  }

  save() {
    try {
      this._storage.setItem(this._name, JSON.stringify(this.turns));
    } catch {
      // A full storage costs the refresh, not the conversation.
    }
  }
}

/**
 * A turn that nothing has been heard of yet.
 *
 * @param {Partial<Turn>} known
 * @returns {Turn}
 */
export function newTurn(known) {
  return {
    key: '',
    id: '',
    model: '',
    question: '',
    text: '',
    cursor: '',
    status: 'live',
    error: '',
    reason: '',
    usage: null,
    startedAt: Date.now(),
    seconds: null,
    unbroken: true,
    ...known,
  };
}

/**
 * Folds one event of the stream into its turn.
 *
 * @param {Turn} turn
 * @param {StreamEvent} event
 */
export function apply(turn, { type, data, cursor }) {
  turn.cursor = cursor;
  if (type === 'delta') turn.text += data.text;
  if (type === 'snapshot') turn.text = data.text;
  if (type === 'completed' || type === 'cancelled' || type === 'failed') {
    turn.status = type;
    turn.usage = data.usage;
    turn.error = data.error?.message ?? '';
    turn.reason = reasonOf(type, data);
    if (turn.unbroken) turn.seconds = (Date.now() - turn.startedAt) / 1000;
  }
}

/**
 * Takes over what the server knows of a stream that has ended while nobody here was listening.
 *
 * @param {Turn} turn
 * @param {any} snapshot
 */
export function settle(turn, snapshot) {
  turn.text = snapshot.text;
  turn.cursor = snapshot.cursor;
  turn.status = snapshot.status;
  turn.usage = snapshot.usage;
  turn.error = snapshot.error?.message ?? '';
  turn.seconds = snapshot.ended_at - snapshot.created_at;
}

/** @param {string} type @param {any} data */
function reasonOf(type, data) {
  if (data.finish_reason === 'length') return 'Cut at the length limit';
  if (data.finish_reason === 'content_filter') return 'Cut by a content filter';
  if (type === 'cancelled' && data.by === 'disconnect') return 'Stopped: nobody was listening';
  return type === 'cancelled' && data.by === 'server' ? 'Stopped by the server' : '';
}
