// What a browser keeps of conversations, in a storage that is full when it is told to be.

import assert from 'node:assert/strict';

import { Conversation } from '../../../src/tidegate/web/conversation.js';
import { Drafts } from '../../../src/tidegate/web/drafts.js';
import { MOST, MOST_CHARACTERS, Shelf } from '../../../src/tidegate/web/shelf.js';
import { Store } from '../../../src/tidegate/web/storage.js';
import { markOf } from '../../../src/tidegate/web/whose.js';

class Browser {
  constructor(room = Infinity) {
    this.items = new Map();
    this.room = room;
    this.written = 0;
  }

  get length() {
    return this.items.size;
  }

  key(at) {
    return [...this.items.keys()][at] ?? null;
  }

  getItem(name) {
    return this.items.get(name) ?? null;
  }

  removeItem(name) {
    this.items.delete(name);
  }

  setItem(name, value) {
    const others = [...this.items].filter(([other]) => other !== name);
    const taken = others.reduce((sum, [, { length }]) => sum + length, 0);
    if (taken + value.length > this.room) throw new Error('full');
    this.items.set(name, value);
    this.written += value.length;
  }
}

let time = 0;

/** The shelf of a tab of this browser. */
function shelfIn(browser, place = '/', hooks = {}) {
  return new Shelf(new Store(() => browser), place, hooks);
}

function talk(shelf, id, text = 'answer') {
  time += 1;
  const conversation = new Conversation(shelf, id);
  const turn = conversation.ask({ key: `${id}-key`, question: `About ${id}`, startedAt: time });
  Object.assign(turn, { text, status: 'completed' });
  conversation.save(turn);
  return conversation;
}

const ids = (shelf) => shelf.list().map(({ id }) => id);

// The newest comes first; what is kept is found again.
{
  const shelf = shelfIn(new Browser());
  talk(shelf, 'a');
  talk(shelf, 'b');
  assert.deepEqual(ids(shelf), ['b', 'a']);
  const [turn] = new Conversation(shelf, 'a').turns;
  assert.deepEqual([turn.question, turn.text], ['About a', 'answer']);
  assert.equal(shelf.read('a').live, false);
}

// Servers side by side on one origin do not see each other's, nor does a conversation another's whose name begins alike.
{
  const browser = new Browser();
  talk(shelfIn(browser, '/one/'), 'a');
  const shelf = shelfIn(browser, '/two/');
  talk(shelf, 'b');
  talk(shelf, 'b2');
  assert.deepEqual(ids(shelf), ['b2', 'b']);
  shelf.remove('b');
  assert.equal(new Conversation(shelf, 'b2').turns[0].text, 'answer');
  assert.deepEqual(ids(shelfIn(browser, '/one/')), ['a']);
}

// There are so many and no more: the oldest go first, and it is said which; but none that is being written.
{
  const browser = new Browser();
  const removed = [];
  const shelf = shelfIn(browser, '/', { onRemoved: (entries) => removed.push(...entries.map(({ id }) => id)) });
  time = Date.now();
  new Conversation(shelf, 'live').ask({ key: 'k', question: 'Live?', startedAt: time });
  for (let count = 0; count < MOST + 1; count += 1) talk(shelf, `c${count}`);
  assert.equal(ids(shelf).length, MOST);
  assert.deepEqual(ids(shelf).slice(-2), ['c2', 'live']);
  assert.deepEqual(removed, ['c0', 'c1']);
  assert.equal([...browser.items.keys()].filter((name) => name.includes(':turn:c1:')).length, 0);
}

// Nor do they take more than their share, however few they are; and half of it is the others' beside a very long one.
{
  const shelf = shelfIn(new Browser());
  const third = 'x'.repeat(MOST_CHARACTERS / 3);
  for (const id of ['a', 'b', 'c', 'd']) talk(shelf, id, third);
  talk(shelf, 'e');
  assert.deepEqual(ids(shelf), ['e', 'd', 'c']);
  const long = talk(shelf, 'long', 'x'.repeat(2 * MOST_CHARACTERS));
  long.ask({ key: 'more', question: 'More?', startedAt: (time += 1) });
  assert.deepEqual(ids(shelf), ['long', 'e', 'd']);
}

// Where the browser has no room nothing is thrown and no other conversation goes: it is said, and the tab goes on.
{
  let full = 0;
  const browser = new Browser(4000);
  const shelf = shelfIn(browser, '/', { onFull: () => (full += 1) });
  for (const id of ['a', 'b']) talk(shelf, id, 'x'.repeat(1000));
  assert.equal(full, 0);
  talk(shelf, 'c', 'x'.repeat(5000));
  assert.deepEqual(ids(shelf), ['c', 'b', 'a']);
  assert.equal(new Conversation(shelf, 'c').turns[0].text.length, 5000);
  assert.ok(full > 0);
  for (const id of ['a', 'b']) assert.equal(new Conversation(shelfIn(browser), id).turns[0].text.length, 1000);
}

// What is not of their shape, whoever has put it there, is not there.
{
  const browser = new Browser();
  const shelf = shelfIn(browser);
  talk(shelf, 'good');
  const odd = ['{broken', '{"a":1}', '[]', 'null', '"x"', '{"id":"x","title":"t","at":"soon","live":false,"slots":[]}'];
  odd.push('{"id":"x","title":"t","at":1,"live":false,"slots":[{"turns":[],"shown":0}]}');
  for (const text of odd) {
    browser.setItem('tidegate:/:conversation:x', text);
    assert.deepEqual(ids(shelf), ['good']);
  }
  for (const turn of ['{', '[]', '{"key":"good-key"}', '{"key":"good-key","status":"completed","text":5}']) {
    browser.setItem('tidegate:/:turn:good:good-key', turn);
    assert.equal(new Conversation(shelf, 'good').turns[0].status, 'lost');
  }
}

// Without a storage a tab goes on in its memory.
{
  const denied = () => {
    throw new Error('denied');
  };
  const shelf = new Shelf(new Store(denied), '/');
  talk(shelf, 'a');
  assert.equal(new Conversation(shelf, 'a').turns[0].text, 'answer');
}

// An answer that grows does not have the others written again.
{
  const browser = new Browser();
  const shelf = shelfIn(browser);
  const conversation = talk(shelf, 'a', 'x'.repeat(10_000));
  const turn = conversation.ask({ key: 'second', question: 'More?', startedAt: (time += 1) });
  const before = browser.written;
  turn.text = 'short';
  conversation.save(turn);
  assert.ok(browser.written - before < 1000);
}

// What was removed comes back as it was; what another tab has removed is not kept by halves.
{
  const shelf = shelfIn(new Browser());
  const conversation = talk(shelf, 'a');
  const removed = shelf.remove('a');
  conversation.save(conversation.turns[0]);
  assert.deepEqual([ids(shelf), shelf.readTurn('a', 'a-key')], [[], null]);
  shelf.restore(removed);
  assert.equal(new Conversation(shelf, 'a').turns[0].text, 'answer');
}

// A tab that follows a turn knows better than what another tab has kept of it.
{
  const shelf = shelfIn(new Browser());
  const here = talk(shelf, 'a');
  const there = new Conversation(shelf, 'a');
  const followed = here.ask({ key: 'second', question: 'More?', startedAt: (time += 1) });
  followed.text = 'so far';
  assert.equal(there.reload(() => false), true);
  assert.equal(there.turns[1].question, 'More?');
  Object.assign(there.turns[1], { text: 'other' });
  there.save(there.turns[1]);
  here.reload((turn) => turn === followed);
  assert.equal(here.turns[1].text, 'so far');
  shelf.remove('a');
  assert.equal(here.reload(() => false), false);
}

// A tab that has slept through what another one has asked takes nothing of it back.
{
  const browser = new Browser();
  const here = new Conversation(shelfIn(browser), 'a');
  const first = here.ask({ key: 'first', question: 'First?', startedAt: (time += 1) });
  const there = new Conversation(shelfIn(browser), 'a');
  Object.assign(there.turns[0], { text: 'stopped', status: 'cancelled' });
  there.save(there.turns[0]);
  there.ask({ key: 'second', question: 'Second?', startedAt: (time += 1) });
  first.text = 'so far';
  here.save(first);
  first.status = 'cancelled';
  here.showVersion(0);
  const { turns, entry } = new Conversation(shelfIn(browser), 'a');
  assert.deepEqual([turns.map(({ question }) => question), entry.live], [['First?', 'Second?'], true]);
  assert.equal(turns[0].text, 'stopped');
}

// Of two tabs that have asked at once, neither knowing of the other, both questions are there in the end.
{
  const browser = new Browser();
  talk(shelfIn(browser), 'a');
  const [one, other] = [1, 2].map(() => new Conversation(shelfIn(browser), 'a'));
  const mine = one.ask({ key: 'mine', question: 'Mine?', startedAt: (time += 1) });
  const theirs = other.ask({ key: 'theirs', question: 'Theirs?', startedAt: (time += 1) });
  one.reload((turn) => turn === mine);
  other.reload((turn) => turn === theirs);
  const questions = ['About a', 'Theirs?', 'Mine?'];
  for (const tab of [one, other]) assert.deepEqual(tab.turns.map(({ question }) => question), questions);
}

// A draft is its tab's, and after that whoever's who opens the conversation; what one tab sends is not another's.
{
  const local = new Store(() => new Browser());
  const [one, other, later] = [1, 2, 3].map(() => new Drafts(new Store(() => new Browser()), local, '/'));
  one.keep('', 'mine');
  other.keep('', 'theirs');
  one.keep('', '');
  assert.deepEqual([one.read(''), other.read(''), later.read('')], ['', 'theirs', 'theirs']);
  other.keep('', '');
  assert.equal(later.read(''), '');
}

// One owner's keys are told from another's, and the tokens of one person are one owner's.
{
  const token = (claims) => `e30.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.s`;
  assert.notEqual(markOf('tg-a'), markOf('tg-b'));
  assert.equal(markOf(token({ iss: 'i', sub: 'ann', exp: 1 })), markOf(token({ iss: 'i', sub: 'ann', exp: 2 })));
  assert.notEqual(markOf(token({ iss: 'i', sub: 'ann' })), markOf(token({ iss: 'i', sub: 'ben' })));
  for (const odd of ['a.b.c', 'a.e30.c', 'a..', '']) assert.match(markOf(odd), /^[0-9a-z]+$/);
}

// A title ends with a whole character.
{
  const conversation = new Conversation(shelfIn(new Browser()), 'a');
  conversation.ask({ key: 'k', question: `${'x'.repeat(59)}😀 and more` });
  assert.equal(conversation.entry.title, 'x'.repeat(59));
}
