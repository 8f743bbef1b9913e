/**
 * What was said in a room, folded from the messages of its topic: the same for everybody who reads them.
 *
 * Whoever may publish to a topic may put anything there, so a message is taken only in the shapes that are known here.
 *
 * @typedef {import('./session.js').StreamEvent} StreamEvent
 *
 * @typedef {object} Said Somebody's words.
 * @property {'text'} kind
 * @property {string} id Of the message; its author's choice.
 * @property {string} member One tab of one person.
 * @property {string} name How they call themselves; may be empty. Who they are, for the server, is `from`.
 * @property {string} text
 * @property {string} to The model that is asked by it; empty where it is for the people.
 * @property {string} from
 * @property {number} at In Unix seconds.
 *
 * @typedef {object} Answer The model's: a stream, which everybody reads from the server.
 * @property {'answer'} kind
 * @property {string} stream
 * @property {string} model
 * @property {string} member Whoever says to have asked.
 * @property {string} name
 * @property {string} question The id of the message that it answers.
 * @property {string} token Of a share: reads the stream, and nothing else.
 * @property {string} from
 * @property {number} at
 * @property {import('./turn.js').Turn} turn
 * @property {Partial<import('./turn.js').Turn>} [end] How it ended, by whoever asked: it is in the topic for as
 * long as the conversation is, and the stream may be gone.
 *
 * @typedef {{from: string, at: number, kind: string, member: string, name: string, [more: string]: any}} Message
 */

import { inert } from './inert.js';
import { TERMINAL } from './session.js';
import { newTurn, REASONS } from './turn.js';

/** Whoever has said nothing for an hour, not even goodbye, is no longer counted on to be there. */
const SILENT_SECONDS = 3600;

/** What a model is told of what it was asked before: so many answers, and so many characters, about half of the context
 * of the embedded one. */
const TOLD_ANSWERS = 6;
const TOLD_CHARACTERS = 16_000;

/** A topic keeps no more messages by default, and a page that is open for days neither. */
export const MOST_ENTRIES = 1000;

/** Names the model that is chosen, as `@model`. */
const CHOSEN = 'model';

/** Not within an address, of mail or on the web. */
const MENTION = /(?<![\w@.+/-])@/g;

/** `@model.example` names something else. Chinese goes on without a blank. */
const NAME_END = /^(?:[,:;.!?)\]"'*_]*(?:\s|$)|[^\x00-\x7f])/;
const AFTER_NAME = /^[,:;.!?，：；。！？、]*\s*/;

const MAX_NAME = 40;
const MAX_MODEL = 128;

/** A share token. Nothing else is taken for one: it is sent in place of the credentials that the page's user has. */
const TOKEN = /^share_[0-9a-f]{64}$/;

/** Pure: no connection, no clock, no page. */
export class Talk {
  constructor() {
    /** @type {(Said | Answer)[]} In the order of the topic. */
    this.entries = [];
    /** @type {Map<string, {name: string, from: string, at: number}>} */
    this._members = new Map();
  }

  /**
   * @param {Message} message
   * @returns {Said | Answer | undefined} What is new in the conversation, or has changed there.
   */
  take(message) {
    const { kind, member, name, from, at } = message;
    // Another one may copy the member, but not who it comes from.
    const who = `${from} ${member}`;
    if (kind === 'bye') this._members.delete(who);
    else if (member) this._members.set(who, { name, from, at });
    dropOldest(this._members);
    if (kind === 'answered') return this._end(message);
    if (kind !== 'text' && kind !== 'answer') return undefined;
    const entry = kind === 'text' ? said(message) : answer(message);
    this.entries.push(entry);
    if (this.entries.length > MOST_ENTRIES) this.entries.shift();
    return entry;
  }

  /**
   * The names of those who are there, where as many are known as the server counts; else nobody's.
   *
   * @param {{principal: string, connections: number}[]} present
   * @param {number} now In Unix seconds.
   * @returns {string[]}
   */
  names(present, now) {
    const principals = new Set(present.map(({ principal }) => principal));
    const names = [...this._members.values()]
      .filter(({ from, at }) => principals.has(from) && now - at < SILENT_SECONDS)
      .map(({ name }) => name);
    return names.length === countOf(present) ? names.sort((one, other) => one.localeCompare(other)) : [];
  }

  /**
   * What a model is told: the question, and before it the last ones with their answers. What people say to each other
   * is not for it: a small model takes every name and every greeting for the matter.
   *
   * @param {Said} question
   */
  asked(question) {
    const messages = [user(question)];
    let left = TOLD_CHARACTERS - question.text.length;
    for (const [earlier, { turn }] of this._exchanges(question).slice(-TOLD_ANSWERS).toReversed()) {
      left -= earlier.text.length + turn.text.length;
      if (left < 0) break;
      messages.unshift(user(earlier), { role: 'assistant', content: turn.text });
    }
    return messages;
  }

  /**
   * The questions to the same model that have an answer, with it, the oldest first.
   *
   * @param {Said} question
   * @returns {[Said, Answer][]}
   */
  _exchanges({ to }) {
    /** @type {Map<string, Said>} The first of an id: others may repeat it. */
    const said = new Map();
    /** @type {[Said, Answer][]} */
    const found = [];
    for (const entry of this.entries) {
      if (entry.kind === 'text') {
        if (entry.to === to && !said.has(entry.id)) said.set(entry.id, entry);
        continue;
      }
      const question = said.get(entry.question);
      if (question && entry.turn.status !== 'live' && entry.turn.text) found.push([question, entry]);
    }
    return found;
  }

  /** @param {Message} message Only whoever asked may say how it ended. */
  _end({ stream, turn, from }) {
    const found = this.entries.find((entry) => entry.kind === 'answer' && entry.stream === stream && entry.from === from);
    if (found?.kind !== 'answer' || !TERMINAL.has(turn?.status)) return undefined;
    const { status, usage } = turn;
    const said = { text: text(turn.text), error: shown(turn.error), code: shown(turn.code) };
    const reason = REASONS.has(turn.reason) ? turn.reason : '';
    found.end = { status, usage: usageIn(usage), reason, ...said };
    return found;
  }
}

/** @param {{connections: number}[]} present */
export function countOf(present) {
  return present.reduce((sum, { connections }) => sum + connections, 0);
}

/**
 * The message in an event of the topic; none where it is not a room's.
 *
 * @param {StreamEvent} event
 * @returns {Message | undefined}
 */
export function messageIn({ data: { data, from, at } }) {
  if (typeof data !== 'object' || data === null || typeof data.kind !== 'string') return undefined;
  const name = shown(data.name).trim().slice(0, MAX_NAME);
  return { ...data, member: text(data.member), name, from, at };
}

/**
 * What somebody has typed, and the model that is named there: without the name where it begins with that.
 *
 * @param {string} words
 * @param {string[]} models
 * @param {string} chosen The model that `@model` means.
 * @returns {{to: string, text: string}} `to` is empty where none is named.
 */
export function addressed(words, models, chosen) {
  for (const { index } of words.matchAll(MENTION)) {
    const named = [...models, CHOSEN].find((name) => isNamed(name, words.slice(index + 1)));
    if (!named) continue;
    const to = models.includes(named) ? named : chosen;
    const rest = words.slice(index + 1 + named.length);
    const text = index ? `${words.slice(0, index)}@${to}${rest}` : rest.replace(AFTER_NAME, '');
    if (to && text) return { to, text };
  }
  return { to: '', text: words };
}

/** @param {string} name @param {string} words Those behind an `@`. */
function isNamed(name, words) {
  return words.startsWith(name) && NAME_END.test(words.slice(name.length));
}

/** @param {Message} message @returns {Said} */
function said({ id, member, name, text: words, to, from, at }) {
  return { kind: 'text', id: text(id), member, name, text: text(words), to: shown(to).slice(0, MAX_MODEL), from, at };
}

/** @param {Message} message @returns {Answer} */
function answer({ stream, model, member, name, question, token: shared, from, at }) {
  const turn = newTurn({ id: text(stream), model: shown(model), unbroken: false });
  const about = { question: text(question), token: shareToken(shared) };
  return { kind: 'answer', stream: turn.id, model: turn.model, member, name, ...about, from, at, turn };
}

/** @param {Map<string, unknown>} found */
function dropOldest(found) {
  const [oldest = ''] = found.keys();
  if (found.size > MOST_ENTRIES) found.delete(oldest);
}

/** @param {Said} said */
function user({ text: content }) {
  return { role: 'user', content };
}

/** @param {any} value @returns {import('./turn.js').Turn['usage']} */
function usageIn(value) {
  const count = value?.completion_tokens;
  return Number.isSafeInteger(count) && count >= 0 ? { completion_tokens: count, estimated: value.estimated === true } : null;
}

/** @param {unknown} value */
function shareToken(value) {
  return TOKEN.test(text(value)) ? text(value) : '';
}

/** @param {unknown} value What stands among the page's own words. */
function shown(value) {
  return inert(text(value));
}

/** @param {unknown} value */
function text(value) {
  return typeof value === 'string' ? value : '';
}
