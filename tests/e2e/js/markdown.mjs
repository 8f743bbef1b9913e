// What the page makes of an answer's text.

import assert from 'node:assert/strict';

import { Blocks, parse } from '../../../src/tidegate/web/blocks.js';
import { scan } from '../../../src/tidegate/web/spans.js';

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

// A block is closed once nothing that follows can change it.
for (const [source, closed] of [
  ['a', 0],
  ['a\n', 0],
  ['a\n-', 0],
  ['a\n- ', 0],
  ['a\n- b', 1],
  ['a\n\n', 1],
  ['# a', 0],
  ['# a\n', 1],
  ['- a\n\n', 0],
  ['- a\n\n\n', 1],
  ['---', 0],
  ['---\n', 1],
  ['```\na\n```', 0],
  ['```\na\n```\n', 1],
]) {
  const blocks = new Blocks();
  for (const piece of source) blocks.push(piece);
  assert.equal(blocks.closed, closed, source);
  assert.deepEqual(blocks.all, parse(source));
}

// Within a line: code, bold and emphasis; marks that open or close nothing are text.
const text = (words) => ({ kind: 'text', text: words });
const lines = [
  ['a `b` c', [text('a '), { kind: 'code', text: 'b' }, text(' c')]],
  ['``a`b``', [{ kind: 'code', text: 'a`b' }]],
  ['**a** *b*', [{ kind: 'strong', text: 'a' }, text(' '), { kind: 'emphasis', text: 'b' }]],
  ['**a *b* `c`**', [{ kind: 'strong', text: 'a *b* `c`' }]],
  ...['2 * 3 * 4', 'a*b*c', '** a**', '**a **', '*a\nb*', '`a', '``a`', '* a*', '*a', '****', '**'].map((words) => [words, [text(words)]]),
];
for (const [line, spans] of lines) assert.deepEqual(scan(line), spans, line);

// It takes linear time, whatever a line is made of: 40 KB of any mark, and of any two.
const marks = ['*', '`', '~', '#', '-', ' ', '1', '.', '\t'];
const pieces = ['**a', '`` ` ', '**`', '_ _ ', '- - ', '[](', '\n- ', '\n  - a', '~~~\n', '1. ', '> ', '<a '];
const long = [...marks, ...pieces].map((piece) => piece.repeat(40_000 / piece.length));
for (const one of marks) {
  for (const other of marks) {
    long.push((one + other).repeat(20_000), one.repeat(20_000) + other.repeat(20_000), `${one}${other.repeat(40_000)}x`);
  }
}
for (const source of long) {
  const took = Math.min(...timed(source));
  assert.ok(took < 250, `${took} ms for ${JSON.stringify(source.slice(0, 10))} … ${JSON.stringify(source.slice(-10))}`);
}

// A busy machine may be slow once, but not each time.
function* timed(source) {
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const begun = performance.now();
    for (const block of parse(source)) for (const { text: words } of block.items ?? [block]) if (words) scan(words);
    const took = performance.now() - begun;
    yield took;
    if (took < 100) return;
  }
}
