/** The languages whose code is coloured, by the names that models give them. Pure. */

/**
 * @typedef {import('./highlight.js').Language} Language
 * @typedef {import('./highlight.js').Span} Span
 */

const NUMBER = '\\b(?:0[xXbBoO][\\da-fA-F_]+|\\d[\\d_]*(?:\\.\\d[\\d_]*)?(?:[eE][+-]?\\d+)?)';
const DOUBLE = '"(?:\\\\.|[^"\\\\\\n])*"?';
const SINGLE = "'(?:\\\\.|[^'\\\\\\n])*'?";
const WORD = '[A-Za-z_$][\\w$]*';

/** @type {Span} */
const C_COMMENT = { begin: '/*', end: '*/', kind: 'comment' };
/** @type {Span} */
const BACKTICKS = { begin: '`', end: '`', kind: 'string' };
/** @type {Span[]} */
const TRIPLE = ['"""', "'''"].map((mark) => ({ begin: mark, end: mark, kind: 'string' }));

/**
 * @param {object} parts Patterns, but for the keywords, which are words.
 * @param {string} [parts.keywords]
 * @param {string} [parts.comment]
 * @param {string} [parts.string]
 * @param {string} [parts.keyword] What else is shown as one.
 * @param {Span[]} [parts.spans]
 * @param {boolean} [parts.isLoud] Whether its keywords may be written in capitals.
 * @returns {Language}
 */
function language({ keywords = '', comment, string = `${DOUBLE}|${SINGLE}`, keyword, spans = [], isLoud = false }) {
  const words = new Set(keywords.split(' '));
  const begins = spans.map(({ begin }) => begin.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
  const parts = [
    begins.length && `(?<span>${begins.join('|')})`,
    comment && `(?<comment>(?:${comment})[^\\n]*)`,
    string && `(?<string>${string})`,
    keyword && `(?<keyword>${keyword})`,
    `(?<word>${WORD})`,
    `(?<number>${NUMBER})`,
  ];
  const isKeyword = (/** @type {string} */ word) => words.has(isLoud ? word.toLowerCase() : word);
  return { spans, pattern: new RegExp(parts.filter(Boolean).join('|'), 'g'), isKeyword };
}

const C_LIKE = { comment: '//', spans: [C_COMMENT] };

const PYTHON = language({
  comment: '#',
  spans: TRIPLE,
  keyword: '@[\\w.]+',
  keywords:
    'False None True and as assert async await break case class continue def del elif else except finally for from global if ' +
    'import in is lambda match nonlocal not or pass raise return self try while with yield',
});

const JAVASCRIPT = language({
  comment: '//',
  spans: [C_COMMENT, BACKTICKS],
  keywords:
    'abstract as async await break case catch class const continue debugger declare default delete do else enum export extends ' +
    'false finally for from function get if implements import in instanceof interface keyof let namespace new null of private ' +
    'protected public readonly return satisfies set static super switch this throw true try type typeof undefined var void ' +
    'while with yield',
});

const JSON_ = language({ ...C_LIKE, string: DOUBLE, keywords: 'true false null' });

const SHELL = language({
  comment: '(?<![^\\s;(])#',
  string: `"(?:\\\\[^]|[^"\\\\\\n])*"?|'[^'\\n]*'?`,
  keyword: '\\$\\w+|\\$\\{[^}\\n]*\\}?',
  keywords:
    'if then else elif fi for in do done while until case esac function return exit export local set unset source echo cd sudo',
});

const HTML = language({
  spans: [{ begin: '<!--', end: '-->', kind: 'comment' }],
  string: `(?<==)(?:${DOUBLE}|${SINGLE})`,
  keyword: '</?[A-Za-z][\\w:-]*|/?>',
});

const CSS = language({ spans: [C_COMMENT], keyword: '@[\\w-]+|--?[A-Za-z][\\w-]*|[A-Za-z][\\w-]*(?=\\s*:)' });

const GO = language({
  ...C_LIKE,
  spans: [C_COMMENT, BACKTICKS],
  keywords:
    'break case chan const continue default defer else fallthrough false for func go goto if import interface iota map nil ' +
    'package range return select struct switch true type var',
});

const RUST = language({
  ...C_LIKE,
  // A lifetime is no string.
  string: `${DOUBLE}|'(?:\\\\[^'\\n]+|[^\\\\'\\n])'`,
  keywords:
    'as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod move mut pub ref ' +
    'return self Self static struct super trait true type unsafe use where while',
});

const JAVA = language({
  ...C_LIKE,
  spans: [C_COMMENT, TRIPLE[0]],
  keyword: '@\\w+',
  keywords:
    'abstract as assert boolean break byte case catch char class const continue data default do double else enum extends false ' +
    'final finally float for fun if implements import in instanceof int interface internal is long namespace new null object ' +
    'override package private protected public record return sealed short static string super switch this throw throws true ' +
    'try using val var virtual void volatile when while yield',
});

const C = language({
  ...C_LIKE,
  keyword: '^\\s*#\\s*\\w+',
  keywords:
    'alignas auto bool break case catch char class const constexpr continue default delete do double else enum explicit extern ' +
    'false float for friend goto if inline int long namespace new noexcept nullptr operator override private protected public ' +
    'register return short signed sizeof static struct switch template this throw true try typedef typename union unsigned ' +
    'using virtual void volatile while NULL',
});

const SQL = language({
  comment: '--',
  spans: [C_COMMENT],
  string: `"[^"\\n]*"?|'[^'\\n]*'?`,
  isLoud: true,
  keywords:
    'add all alter and as asc begin between by case cascade check column commit constraint create cross default delete desc ' +
    'distinct drop else end exists false foreign from full group having if in index inner insert into is join key left like ' +
    'limit not null offset on or order outer over partition primary references replace returning right rollback select set ' +
    'table then transaction true union unique update using values view when where with',
});

const SETTINGS = language({
  comment: '(?<!\\S)[#;]',
  keyword: '^\\s*-?\\s*[\\w.-]+(?=\\s*[:=])|^\\s*\\[[^\\]\\n]*\\]',
  keywords: 'true false null yes no on off',
});

/** @type {[string, Language][]} */
const NAMES = [
  ['python py python3 pyi', PYTHON],
  ['javascript js jsx mjs cjs typescript ts tsx node', JAVASCRIPT],
  ['json jsonc json5 jsonl', JSON_],
  ['bash sh shell zsh console dockerfile makefile', SHELL],
  ['html xml svg vue svelte htm', HTML],
  ['css scss less', CSS],
  ['go golang', GO],
  ['rust rs', RUST],
  ['java kotlin kt csharp cs c# scala swift dart', JAVA],
  ['c h cpp c++ hpp cc objc', C],
  ['sql postgresql postgres mysql sqlite', SQL],
  ['yaml yml toml ini conf properties', SETTINGS],
];

/** @type {Map<string, Language>} */
const LANGUAGES = new Map(NAMES.flatMap(([names, found]) => names.split(' ').map((name) => [name, found])));

/** @param {string} name As it stands behind the fence. */
export function languageOf(name) {
  return LANGUAGES.get(name.toLowerCase().replace(/^\{?\.?|[:{},].*$/g, ''));
}
