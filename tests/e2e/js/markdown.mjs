// What the page makes of an answer's text.

import assert from 'node:assert/strict';

import { Blocks, parse } from '../../../src/tidegate/web/blocks.js';
import { REACH } from '../../../src/tidegate/web/emphasis.js';
import { highlighted } from '../../../src/tidegate/web/highlight.js';
import { inert } from '../../../src/tidegate/web/inert.js';
import { languageOf } from '../../../src/tidegate/web/languages.js';
import { scan } from '../../../src/tidegate/web/spans.js';

const STYLES = { strong: 'b', emphasis: 'i', strike: 's' };

/** A text's spans, short: marks as tags, links as `[words→address]`. */
function words(text) {
  const shown = (span) => {
    if (span.kind === 'text') return span.text;
    if (span.kind === 'code') return `\`${span.text}\``;
    if (span.kind === 'image') return `[image ${span.text}→${span.href}]`;
    const inner = span.children.map(shown).join('');
    return span.kind === 'link' ? `[${inner}→${span.href}]` : `<${STYLES[span.kind]}>${inner}</${STYLES[span.kind]}>`;
  };
  return scan(text).spans.map(shown).join('');
}

/** Blocks, short: `p(…)`, `h1(…)`, `code py(…)`, `ul(li(…))`, `quote(…)`, `table(a|b/c|d)`. */
function blocks(found) {
  return found.map(shownBlock).join(' ');
}

function shownBlock(block) {
  if (block.kind === 'rule') return 'hr';
  if (block.kind === 'paragraph') return `p(${block.text})`;
  if (block.kind === 'heading') return `h${block.level}(${block.text})`;
  if (block.kind === 'code') return `code${block.language && ` ${block.language}`}(${block.text})`;
  if (block.kind === 'table') return `table(${block.rows.map(({ cells }) => cells.map(({ text }) => text).join('|')).join('/')})`;
  const inside = block.children.map((child) => (child.kind === 'item' ? shownItem(child) : shownBlock(child))).join(' ');
  if (block.kind === 'quote') return `quote(${inside})`;
  return `${block.isOrdered ? `ol${block.start}` : 'ul'}${block.isLoose ? ' loose' : ''}(${inside})`;
}

const shownItem = ({ isDone, children }) => `${isDone === undefined ? 'li' : isDone ? 'done' : 'todo'}(${blocks(children)})`;

for (const [source, shown] of [
  // Text keeps its spaces and its line breaks; blank lines part it.
  ['one  two\nthree\n\n\nfour', 'p(one  two\nthree) p(four)'],
  ['a\r\nb\rc', 'p(a\nb\nc)'],
  ['a\n   b', 'p(a\nb)'],

  // Headings, with the mark at the end or a line below; and rules.
  ['# A # B #', 'h1(A # B)'],
  ['###### a\n####### b', 'h6(a) p(####### b)'],
  ['a\nb\n===\nc\n---\nd', 'h1(a\nb) h2(c) p(d)'],
  ['a\n\n---\n* * *\n___\nb', 'p(a) hr hr hr p(b)'],
  ['#hashtag\n-5 degrees\n*not* an item\n2.5 litres', 'p(#hashtag\n-5 degrees\n*not* an item\n2.5 litres)'],

  // A fence that has not been closed yet is code already, and what is in it stays as it is.
  ['```py\n# no heading\n\n  - no item', 'code py(# no heading\n\n  - no item)'],
  ['````\n```\n````\nafter', 'code(```) p(after)'],
  ['~~~js {1}\n```\n~~~~', 'code js(```)'],
  ['  ```\n  a\n    b\n c\n```', 'code(a\n  b\nc)'],
  ['``` a`b', 'p(``` a`b)'],
  ['a\n```\nb\n```\nc', 'p(a) code(b) p(c)'],
  ['    a\n\n      b\n\nc\n    d', 'code(a\n\n  b) p(c\nd)'],

  // Lists nest by their indent, may be spaced out, and go on over lines; another mark begins another list.
  ['3. a\n   more\n   - b\n\n4. c\n- d', 'ol3 loose(li(p(a\nmore) ul(li(p(b)))) li(p(c))) ul(li(p(d)))'],
  ['- a\n- b\n* c', 'ul(li(p(a)) li(p(b))) ul(li(p(c)))'],
  ['- a\n\n- b', 'ul loose(li(p(a)) li(p(b)))'],
  ['- a\n\n  b\n- c', 'ul loose(li(p(a) p(b)) li(p(c)))'],
  ['- a\n  ```\n  x\n    y\n  ```\nend', 'ul(li(p(a) code(x\n  y))) p(end)'],
  ['1. a\n2.', 'ol1(li(p(a)) li())'],
  ['text\n2. no item\n1. item', 'p(text\n2. no item) ol1(li(p(item)))'],
  ['- - a\n  - b', 'ul(li(ul(li(p(a)) li(p(b)))))'],
  ['-\n\n  a', 'ul(li()) p(a)'],
  // Models indent less than they should.
  ['1. a\n  - b\n  - c\n2. d', 'ol1(li(p(a) ul(li(p(b)) li(p(c)))) li(p(d)))'],
  ['- [ ] a\n- [x] b\n- [y] c\n- [ ]d', 'ul(todo(p(a)) done(p(b)) li(p([y] c)) li(p([ ]d)))'],

  // Quotes hold all of that, and go on where a line of text only lacks the mark.
  ['> a\nb\n>\n> - c\n>   ```\n>   x\n\nd', 'quote(p(a\nb) ul(li(p(c) code(x)))) p(d)'],
  ['> > a\n> b', 'quote(quote(p(a\nb)))'],
  ['- > a\n  > b', 'ul(li(quote(p(a\nb))))'],

  // A table needs the row below its head; its rows are as wide as that at the most.
  ['| a | b |\n|---|:-:|\n| 1 | 2 | 3\n| x\\|y |\n\nz', 'table(a|b/1|2/x|y) p(z)'],
  ['text\na | b\n--- | ---\n1 |\n> q', 'p(text) table(a|b/1) quote(p(q))'],
  ['| a | b |\n|---|', 'p(| a | b |\n|---|)'],
  ['| a |\n|---|\n|', 'table(a/)'],

  // What has no meaning here is text.
  ['<div>\n*a*\n</div>', 'p(<div>\n*a*\n</div>)'],
  ['[a]: https://b.c', 'p([a]: https://b.c)'],
]) {
  assert.equal(blocks(parse(source)), shown, source);
}
assert.deepEqual(parse('|a|b|c|d\n|-|:-|-:|:-:|')[0].aligns, ['', 'left', 'right', 'center']);

for (const [source, shown] of [
  ['a `b` c', 'a `b` c'],
  ['``a`b`` ` `` ` `a\nb`', '`a`b` ```` `a b`'],
  ['**a** *b* __c__ _d_ ***e*** ~~f~~', '<b>a</b> <i>b</i> <b>c</b> <i>d</i> <i><b>e</b></i> <s>f</s>'],
  ['**a *b* `c` ~~d~~**', '<b>a <i>b</i> `c` <s>d</s></b>'],
  ['*a **b***, **a *b***', '<i>a <b>b</b></i>, <b>a <i>b</i></b>'],
  ['snake_case_name, a*b*c', 'snake_case_name, a<i>b</i>c'],
  ['**重点（注）**后面', '<b>重点（注）</b>后面'],
  ['\\*a\\* \\`b\\` \\[c](d) \\a', '*a* `b` [c](d) \\a'],
  ['`\\`\\', '`\\`\\'],
  ['a  \nb\\\nc', 'a\nb\nc'],
  ['&lt;b&gt; &copy; &#65;&#x42; &nope; &amp', '<b> © AB &nope; &amp'],
  ['&#x202e;&#0;', '\ufffd\ufffd'],

  // Links lead to pages and mail, and nowhere else.
  ['[a *b* [c]](https://d.e/f_(g) "title") [m](<mailto:a@b.c>)', '[a <i>b</i> [c]→https://d.e/f_(g)] [m→mailto:a@b.c]'],
  ['[a](javascript:alert(1)) [b](data:text/html,x) [c](/d) [e]', '[a](javascript:alert(1)) [b](data:text/html,x) [c](/d) [e]'],
  ['[a](java&#115;cript:x) [b](&#106;avascript:x) [c](\\javascript:x)', '[a](javascript:x) [b](javascript:x) [c](\\javascript:x)'],
  ['[a](https://) [b](http:/x) [c](https://a b)', '[a](https://) [b](http:/x) [c]([https://a→https://a] b)'],
  ['*[a*](https://b.c)', '*[a*→https://b.c]'],
  ['[a [b](https://c.d) e](https://f.g)', '[a [b→https://c.d] e]([https://f.g→https://f.g])'],
  ['[https://a.b](https://c.d)', '[https://a.b→https://c.d]'],
  ['![a *b*](https://c.d/e.png) [![f](https://g.h)](https://i.j)', '[image a b→https://c.d/e.png] [f→https://i.j]'],
  ['![a](data:image/png;base64,x)', '![a](data:image/png;base64,x)'],

  // Addresses are links by themselves, without what ends the sentence.
  ['See https://a.b/c_(d)?e=f. (www.g.h), <https://i.j>', 'See [https://a.b/c_(d)?e=f→https://a.b/c_(d)?e=f]. ([www.g.h→https://www.g.h]), [https://i.j→https://i.j]'],
  ['**https://a.b/c**：见https://d.e见', '<b>[https://a.b/c→https://a.b/c]</b>：见[https://d.e→https://d.e]见'],
  ['<a@b.c> xhttps://a.b ftp://c.d http://', '[a@b.c→mailto:a@b.c] xhttps://a.b ftp://c.d http://'],

  // HTML is text, and the marks in its tags are none.
  ['<b title="*x*">*y*</b> a < b', '<b title="*x*"><i>y</i></b> a < b'],

  // Marks that open or close nothing are text.
  ...['2 * 3 * 4', '** a**', '**a **', '`a', '``a`', '* a*', '*a', '**', '~5 to ~6', '[a', '![', '](x)', 'a_b_'].map((text) => [text, text]),
]) {
  assert.equal(words(source), shown, source);
}

// Controls and marks that turn the direction of a text are seen, and do nothing.
assert.equal(inert('a\tb\n\x1b[31m\0\x7f\x9b \u202eevil\u2066 潮😀'), 'a\tb\n␛[31m␀␡\ufffd \ufffdevil\ufffd 潮😀');

// A block is closed once nothing that follows can change it.
for (const [source, closed] of [
  ['a', 0],
  ['a\n', 0],
  ['a\n- ', 0],
  ['a\n- b', 1],
  ['a\n\n', 1],
  ['# a', 0],
  ['# a\n', 1],
  ['- a\n\n\n', 0],
  ['- a\n\nb', 1],
  ['---', 0],
  ['---\n', 1],
  ['> a\n\n', 1],
  ['```\na\n```', 0],
  ['```\na\n```\n', 1],
  ['|a|\n|-|\n|b|\n\n', 1],
]) {
  const grown = new Blocks();
  for (const piece of source) grown.push(piece);
  assert.equal(grown.closed, closed, source);
  assert.equal(blocks(grown.all), blocks(parse(source)));
}

// Comments, strings, numbers and keywords of the usual languages, over lines where they go on over lines.
function coloured(name, code) {
  let within;
  let shown = '';
  for (const line of code.split(/(?<=\n)/)) {
    const found = highlighted(line, languageOf(name), within);
    within = found.within;
    shown += found.tokens.map(({ kind, text }) => (kind ? `${kind[0]}‹${text}›` : text)).join('');
  }
  return shown;
}
for (const [name, code, shown] of [
  ['python', 'def f(x): # a\n  """a\nb"""\n  return "c\\"d" + 1.5', 'k‹def› f(x): c‹# a›\n  s‹"""a\n›s‹b"""›\n  k‹return› s‹"c\\"d"› + n‹1.5›'],
  ['TS', 'const a = `x\n${y}`; /* b\n*/ 0xff // c', 'k‹const› a = s‹`x\n›s‹${y}`›; c‹/* b\n›c‹*/› n‹0xff› c‹// c›'],
  ['json', '{"a": [true, -1e3]}', '{s‹"a"›: [k‹true›, -n‹1e3›]}'],
  ['bash', 'echo "$A" # b\nls a#b $HOME', 'k‹echo› s‹"$A"› c‹# b›\nls a#b k‹$HOME›'],
  ['html', '<!-- a\n--><b c="d">e</b>', 'c‹<!-- a\n›c‹-->›k‹<b› c=s‹"d"›k‹>›ek‹</b›k‹>›'],
  ['css', 'a { color: #fff; /* b */ }', 'a { k‹color›: #fff; c‹/* b */› }'],
  ['rust', "fn f<'a>() { 'x' }", "k‹fn› f<'a>() { s‹'x'› }"],
  ['go', 'func f() { return `a` }', 'k‹func› f() { k‹return› s‹`a`› }'],
  ['java', 'class A { char b = 1; }', 'k‹class› A { k‹char› b = n‹1›; }'],
  ['c', '#include <a.h>\nint main;', 'k‹#include› <a.h>\nk‹int› main;'],
  ['sql', "SELECT a FROM b -- c\nwhere d = 'e''f'", "k‹SELECT› a k‹FROM› b c‹-- c›\nk‹where› d = s‹'e'›s‹'f'›"],
]) {
  assert.equal(coloured(name, code), shown, name);
}
assert.equal(languageOf('brainfuck'), undefined);
assert.equal(languageOf('constructor'), undefined);

// While a text grows, of each piece no more is read again than a mark may reach back.
for (const unit of ['word ', '**word** ', '词', 'a', '*', '[', '`', '![a](b ', 'https://a.b/', '<a ', '&', '\\', '~~', '_a', '**a', '`a`', 'a\n']) {
  let text = '';
  let at = 0;
  while (text.length < 5 * REACH) {
    text += unit.repeat(200);
    const { safe } = scan(text, at);
    assert.ok(safe.at >= at);
    at = safe.at;
    const left = text.length - at;
    assert.ok(left <= REACH + 3000 || isOneRun(unit), `${left} characters of ${unit} are read again`);
  }
}
// Marks of one kind, one after the other, are looked at as one.
function isOneRun(unit) {
  return /^(.)\1*$/.test(unit) && '*_~`'.includes(unit[0]);
}

// Whatever a line or an answer is made of, it is read in linear time: another one would take hours for these, not seconds.
const marks = ['*', '`', '~', '#', '-', ' ', '1', '.', '\t', '>', '|', '[', '_'];
const pieces = ['**a', '`` ` ', '**`', '_ _ ', '- - ', '[](', '[a](b "', '\n- ', '\n  - a', '~~~\n', '1. ', '> ', '\n>', '<a ', '|-', '|\n', '![', 'a@', 'www.'];
for (const piece of [...marks, ...pieces]) read(piece.repeat(200_000 / piece.length));
for (const one of marks) {
  for (const other of marks) {
    read(one.repeat(4000) + other.repeat(4000));
    read(`${(one + other).repeat(4000)}x`);
  }
}

function read(source) {
  const all = [...parse(source)];
  for (let block = all.pop(); block; block = all.pop()) {
    if (block.children) all.push(...block.children);
    for (const { text } of block.rows?.flatMap(({ cells }) => cells) ?? [block]) if (text) scan(text);
    if (block.kind === 'code') for (const line of block.text.split('\n')) highlighted(line, languageOf('js'), undefined);
  }
}
