/**
 * One question and its answer: what is known of it so far, folded from the events of its stream. Pure.
 *
 * The text and the cursor change together, so whatever was kept last, following the stream from there gives the rest
 * exactly.
 *
 * @typedef {import('./session.js').StreamEvent} StreamEvent
 *
 * @typedef {{index: number, id: string | null, name: string, arguments: string}} ToolCall
 *
 * @typedef {object} Turn
 * @property {string} key The Idempotency-Key of the call; with it a refresh finds a stream whose id it never got.
 * @property {string} id Of the stream; empty until the server has named it.
 * @property {string} model
 * @property {string} system The system prompt that goes before the conversation.
 * @property {string} question Empty where only the answer is known.
 * @property {string} prior What an earlier stream had brought of this answer, which this one goes on with.
 * @property {Took | null} priorTook What the earlier streams of this answer took.
 * @property {string} text The answer so far, `prior` included.
 * @property {string} reasoning
 * @property {ToolCall[]} calls
 * @property {string} cursor
 * @property {'live' | 'completed' | 'cancelled' | 'failed' | 'lost'} status
 * @property {string} error Why it failed or was lost, in the server's words.
 * @property {string} code Of that error.
 * @property {string} requestId Of the call that was refused.
 * @property {string} reason Why it was completed or cancelled: `length`, `content_filter`, `disconnect`, `server`;
 * empty where that is not worth a word.
 * @property {{completion_tokens: number, estimated: boolean} | null} usage
 * @property {number} startedAt In milliseconds of this browser's clock, like the next two.
 * @property {number | null} firstAt When the first piece came.
 * @property {number | null} thoughtAt When the reasoning was over.
 * @property {number | null} seconds From the question to the end; null where this browser did not see it all.
 * @property {boolean} unbroken Whether one connection brought it all.
 * @property {boolean} unsettled Whether it was stopped on this page alone, since the server could not be asked: what that
 * has of it is still to be taken over.
 *
 * @typedef {object} Took What an answer took, whatever number of streams brought it; null where that of one is not known.
 * @property {string[]} models Those that wrote it.
 * @property {number | null} tokens
 * @property {boolean} estimated
 * @property {number | null} seconds
 * @property {number} waited Of those seconds, before the first pieces.
 */

const PIECES = new Set(['delta', 'reasoning', 'tool_call']);

/** Those that are worth a word. */
export const REASONS = new Set(['length', 'content_filter', 'disconnect', 'server']);

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
    system: '',
    question: '',
    prior: '',
    priorTook: null,
    text: known.prior ?? '',
    reasoning: '',
    calls: [],
    cursor: '',
    status: 'live',
    error: '',
    code: '',
    requestId: '',
    reason: '',
    usage: null,
    startedAt: Date.now(),
    firstAt: null,
    thoughtAt: null,
    seconds: null,
    unbroken: true,
    unsettled: false,
    ...known,
  };
}

/**
 * Folds one event of the stream into its turn.
 *
 * @param {Turn} turn
 * @param {StreamEvent} event
 * @param {number} [now]
 */
export function apply(turn, { type, data, cursor }, now = Date.now()) {
  turn.cursor = cursor;
  if (PIECES.has(type)) turn.firstAt ??= now;
  if (type !== 'reasoning' && turn.reasoning) turn.thoughtAt ??= now;
  if (type === 'delta') turn.text += data.text;
  else if (type === 'reasoning') turn.reasoning += data.text;
  else if (type === 'tool_call') addToCall(turn.calls, data);
  else if (type === 'snapshot') takeContent(turn, data);
  else if (type === 'completed' || type === 'cancelled' || type === 'failed') end(turn, type, data, now);
}

/**
 * Takes over what the server knows of a stream that has ended while nobody here was listening.
 *
 * @param {Turn} turn
 * @param {any} snapshot
 */
export function settle(turn, snapshot) {
  takeContent(turn, snapshot);
  turn.cursor = snapshot.cursor;
  turn.status = snapshot.status;
  turn.usage = snapshot.usage;
  turn.reason = reasonOf(snapshot) || turn.reason;
  takeError(turn, snapshot.error);
  turn.seconds = snapshot.ended_at - snapshot.created_at;
  turn.unsettled = false;
}

/** @param {Turn} turn @returns {Took} */
export function tookOf({ model, usage, seconds, startedAt, firstAt, priorTook: prior }) {
  const own = {
    models: [model],
    tokens: usage?.completion_tokens ?? null,
    estimated: usage?.estimated ?? false,
    seconds,
    waited: firstAt === null ? 0 : (firstAt - startedAt) / 1000,
  };
  if (!prior) return own;
  return {
    models: [...new Set([...prior.models, model])],
    tokens: sum(prior.tokens, own.tokens),
    estimated: prior.estimated || own.estimated,
    seconds: sum(prior.seconds, own.seconds),
    waited: prior.waited + own.waited,
  };
}

/** @param {number | null} one @param {number | null} other */
function sum(one, other) {
  return one === null || other === null ? null : one + other;
}

/** @param {Turn} turn @returns {string} What its own stream has brought last, as a type of piece; empty for nothing. */
export function latestOf({ text, prior, reasoning, calls }) {
  if (text !== prior) return 'delta';
  if (prior) return '';
  if (calls.length) return 'tool_call';
  return reasoning && 'reasoning';
}

/** @param {Turn} turn Whether there is anything to read in it. */
export function isEmpty({ text, reasoning, calls }) {
  return !text && !reasoning && !calls.length;
}

/** @param {Turn} turn @param {any} snapshot */
function takeContent(turn, { text, reasoning, tool_calls: calls }) {
  turn.text = turn.prior + text;
  if (reasoning) turn.reasoning = reasoning;
  if (calls?.length) turn.calls = calls.map((/** @type {any} */ call) => ({ ...call, name: call.name ?? '' }));
}

/** @param {Turn} turn @param {'completed' | 'cancelled' | 'failed'} type @param {any} data @param {number} now */
function end(turn, type, data, now) {
  turn.status = type;
  turn.usage = data.usage;
  turn.reason = reasonOf(data);
  takeError(turn, data.error);
  if (turn.unbroken) turn.seconds = (now - turn.startedAt) / 1000;
}

/** @param {Turn} turn @param {{message: string, code: string} | undefined} error */
function takeError(turn, error) {
  turn.error = error?.message ?? '';
  turn.code = error?.code ?? '';
}

/** @param {{finish_reason?: string | null, by?: string}} data */
function reasonOf({ finish_reason: finish, by }) {
  return [finish, by].find((each) => each && REASONS.has(each)) ?? '';
}

/** @param {ToolCall[]} calls @param {{index: number, id?: string, name?: string, arguments?: string}} fragment */
function addToCall(calls, { index, id, name, arguments: more }) {
  let call = calls.find((each) => each.index === index);
  if (!call) calls.push((call = { index, id: null, name: '', arguments: '' }));
  call.id ??= id ?? null;
  call.name += name ?? '';
  call.arguments += more ?? '';
}
