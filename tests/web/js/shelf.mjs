// What a browser keeps of conversations, in a storage that is full when it is told to be.

import assert from 'node:assert/strict';

import { Conversation } from '../../../src/tidegate/web/conversation.js';
import { MOST, MOST_CHARACTERS, Shelf } from '../../../src/tidegate/web/shelf.js';

class Store {
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
  const shelf = new Shelf(new Store(), '/');
  talk(shelf, 'a');
  talk(shelf, 'b');
  assert.deepEqual(ids(shelf), ['b', 'a']);
  const [turn] = new Conversation(shelf, 'a').turns;
  assert.deepEqual([turn.question, turn.text], ['About a', 'answer']);
  assert.equal(shelf.read('a').live, false);
}

// Servers side by side on one origin do not see each other's, nor does a conversation another's whose name begins alike.
{
  const store = new Store();
  talk(new Shelf(store, '/one/'), 'a');
  const shelf = new Shelf(store, '/two/');
  talk(shelf, 'b');
  talk(shelf, 'b2');
  assert.deepEqual(ids(shelf), ['b2', 'b']);
  shelf.remove('b');
  assert.equal(new Conversation(shelf, 'b2').turns[0].text, 'answer');
  shelf.clear();
  assert.deepEqual(ids(new Shelf(store, '/one/')), ['a']);
}

// There are so many and no more: the oldest go first.
{
  const store = new Store();
  const shelf = new Shelf(store, '/');
  for (let count = 0; count < MOST + 2; count += 1) talk(shelf, `c${count}`);
  assert.equal(ids(shelf).length, MOST);
  assert.equal(ids(shelf).at(-1), 'c2');
  assert.equal([...store.items.keys()].filter((name) => name.includes(':turn:c1:')).length, 0);
}

// Nor do they take more than their share, however few they are.
{
  const shelf = new Shelf(new Store(), '/');
  const third = 'x'.repeat(MOST_CHARACTERS / 3);
  for (const id of ['a', 'b', 'c', 'd']) talk(shelf, id, third);
  talk(shelf, 'e');
  assert.deepEqual(ids(shelf), ['e', 'd', 'c']);
}

// Where the browser itself has no room the oldest go, too; where that is not enough it is said, and nothing is thrown.
{
  let full = 0;
  const shelf = new Shelf(new Store(4000), '/', () => (full += 1));
  for (const id of ['a', 'b', 'c']) talk(shelf, id, 'x'.repeat(1000));
  assert.deepEqual(ids(shelf), ['c', 'b']);
  assert.equal(full, 0);
  talk(shelf, 'd', 'x'.repeat(5000));
  assert.deepEqual(ids(shelf), ['d']);
  assert.ok(full > 0);
}

// An answer that grows does not have the others written again.
{
  const store = new Store();
  const shelf = new Shelf(store, '/');
  const conversation = talk(shelf, 'a', 'x'.repeat(10_000));
  const turn = conversation.ask({ key: 'second', question: 'More?' });
  const before = store.written;
  turn.text = 'short';
  conversation.save(turn);
  assert.ok(store.written - before < 1000);
}

// What was removed comes back as it was; what another tab has removed is not kept by halves.
{
  const shelf = new Shelf(new Store(), '/');
  const conversation = talk(shelf, 'a');
  shelf.keepDraft('a', 'half');
  const removed = shelf.remove('a');
  conversation.save(conversation.turns[0]);
  assert.deepEqual([ids(shelf), shelf.draft('a'), shelf.readTurn('a', 'a-key')], [[], '', null]);
  shelf.restore(removed);
  assert.equal(new Conversation(shelf, 'a').turns[0].text, 'answer');
}

// A tab that follows a turn knows better than what another tab has kept of it.
{
  const shelf = new Shelf(new Store(), '/');
  const here = talk(shelf, 'a');
  const there = new Conversation(shelf, 'a');
  const followed = here.ask({ key: 'second', question: 'More?' });
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
