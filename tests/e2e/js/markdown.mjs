// What the page makes of an answer's text.

import assert from 'node:assert/strict';

import { parse } from '../../../src/tidegate/web/markdown.js';

const kinds = (text) => parse(text).map(({ kind }) => kind);
const item = (indent, ordered, start, text) => ({ indent, ordered, start, text });

// Text keeps its spaces and its line breaks; blank lines part it.
assert.deepEqual(parse('one  two \nthree\n\n\nfour '), [
  { kind: 'paragraph', text: 'one  two \nthree' },
  { kind: 'paragraph', text: 'four ' },
]);

// A fence that has not been closed yet is code already, and what is in it stays as it is.
assert.deepEqual(parse('```py\n# no heading\n\n  - no item'), [
  { kind: 'code', language: 'py', text: '# no heading\n\n  - no item' },
]);
assert.deepEqual(parse('- a\n  ```\n  x\n    y\n  ```\nend'), [
  { kind: 'list', items: [item(0, false, 1, 'a')] },
  { kind: 'code', language: '', text: 'x\n  y' },
  { kind: 'paragraph', text: 'end' },
]);
assert.deepEqual(kinds('````\n```\n````\nafter'), ['code', 'paragraph']);

// Lists nest by their indent, may be spaced out, and go on over lines; another kind of mark begins another list.
assert.deepEqual(parse('3. a\n   more\n   - b\n\n4. c\n- d'), [
  { kind: 'list', items: [item(0, true, 3, 'a\nmore'), item(3, false, 1, 'b'), item(0, true, 4, 'c')] },
  { kind: 'list', items: [item(0, false, 1, 'd')] },
]);

// The mark of an item whose text is still to come is an item already.
assert.deepEqual(parse('1. a\n2.')[0].items.at(-1), item(0, true, 2, ''));

// What only looks like Markdown is text.
assert.deepEqual(kinds('#hashtag\n-5 degrees\n*not* an item\n2.5 litres'), ['paragraph']);
assert.deepEqual(parse('# A # B #'), [{ kind: 'heading', level: 1, text: 'A # B' }]);
assert.deepEqual(kinds('a\n\n---\n* * *\n\nb'), ['paragraph', 'rule', 'rule', 'paragraph']);

// It takes linear time, whatever the text is made of.
for (const piece of ['`', '*', '**', '- ', '#', '\n', '1. ', '* ', '~~~\n']) parse(piece.repeat(50_000));
