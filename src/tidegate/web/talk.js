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
 * @property {string} name How they call themselves. Who they are, for the server, is `from`.
 * @property {string} text
 * @property {string} from
 * @property {number} at In Unix seconds.
 *
 * @typedef {object} Answer The model's: a stream, which everybody reads from the server.
 * @property {'answer'} kind
 * @property {string} stream
 * @property {string} model
 * @property {string} member Whoever says to have asked.
 * @property {string} name
 * @property {string} token Of a share: reads the stream, and nothing else.
 * @property {string} from
 * @property {number} at
 * @property {import('./turn.js').Turn} turn
 * @property {Partial<import('./turn.js').Turn>} [end] How it ended, by whoever asked: it is in the topic for as
 * long as the conversation is, and the stream may be gone.
 *
 * @typedef {{from: string, at: number, kind: string, member: string, name: string, [more: string]: any}} Message
 */

import { newTurn } from './turn.js';
import { TERMINAL } from './session.js';

/** Whoever has said nothing for an hour, not even goodbye, is no longer counted on to be there. */
const SILENT_SECONDS = 3600;

/** What a model is told of the conversation, in characters: about half of the context of the embedded one. */
const TOLD_CHARACTERS = 16_000;

const MAX_NAME = 40;

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
    if (kind === 'answered') return this._end(message);
    if (kind !== 'text' && kind !== 'answer') return undefined;
    const entry = kind === 'text' ? said(message) : answer(message);
    this.entries.push(entry);
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

  /** The conversation as a model is told it: who said what, the newest last, and no more than it can take. */
  conversation() {
    /** @type {{role: string, content: string}[]} */
    const messages = [];
    let left = TOLD_CHARACTERS;
    for (const entry of this.entries.toReversed()) {
      const { role, content } = told(entry);
      left -= content.length;
      if (left < 0 && messages.length) break;
      if (content && messages[0]?.role === role) messages[0].content = `${content}\n${messages[0].content}`;
      else if (content) messages.unshift({ role, content });
    }
    return messages;
  }

  /** @param {Message} message Only whoever asked may say how it ended. */
  _end({ stream, turn, from }) {
    const found = this.entries.find((entry) => entry.kind === 'answer' && entry.stream === stream && entry.from === from);
    if (found?.kind !== 'answer' || !TERMINAL.has(turn?.status)) return undefined;
    const { status, usage = null } = turn;
    found.end = { status, usage, text: text(turn.text), error: text(turn.error), reason: text(turn.reason) };
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
  const name = text(data.name).trim().slice(0, MAX_NAME) || 'Somebody';
  return { ...data, member: text(data.member), name, from, at };
}

/**
 * The model that a text is meant for, by the name it begins with.
 *
 * @param {string} words
 * @param {string[]} models
 */
export function addressee(words, models) {
  const mention = /^@(\S+)/.exec(words)?.[1] ?? '';
  return models.find((model) => mention.startsWith(model) && /^[,:;.!?]*$/.test(mention.slice(model.length)));
}

/** @param {Message} message @returns {Said} */
function said({ id, member, name, text: words, from, at }) {
  return { kind: 'text', id: text(id), member, name, text: text(words), from, at };
}

/** @param {Message} message @returns {Answer} */
function answer({ stream, model, member, name, token, from, at }) {
  const turn = newTurn({ id: text(stream), model: text(model), unbroken: false });
  return { kind: 'answer', stream: turn.id, model: turn.model, member, name, token: shareToken(token), from, at, turn };
}

/** @param {Said | Answer} entry */
function told(entry) {
  if (entry.kind === 'answer') return { role: 'assistant', content: entry.turn.text };
  return { role: 'user', content: `${entry.name}: ${entry.text}` };
}

/** @param {unknown} value */
function shareToken(value) {
  return TOKEN.test(text(value)) ? text(value) : '';
}

/** @param {unknown} value */
function text(value) {
  return typeof value === 'string' ? value : '';
}
