/**
 * The API reference: `openapi.json` for people. Its calls are folded, and found by any word that is in them.
 *
 * @typedef {import('./reference.js').Entry} Entry
 */

import { t } from './language.js';
import { make } from './nodes.js';
import { call, type } from './reference.js';
import { link, told } from './schema.js';

const METHODS = ['post', 'get', 'put', 'delete'];

/**
 * Paths by their beginning; the first that fits has it.
 *
 * @type {[string, string][]}
 */
const GROUPS = [
  ['/v1/streams', t('Streams')],
  ['/v1/topics', t('Topics and WebSocket')],
  ['/v1/ws', t('Topics and WebSocket')],
  ['/v1/models', t('Models')],
  ['/v1/admin', t('Operation')],
  ['/v1/probe', t('Operation')],
  ['/metrics', t('Operation')],
  ['/v1/session', t('Server and pages')],
  ['/v1/ai', 'AI SDK'],
  ['/v1/messages', 'Anthropic'],
  ['/v1/', 'OpenAI'],
  ['/', t('Server and pages')],
];

/** @param {string} id */
const $ = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @type {(Entry & {line: HTMLElement, section: HTMLElement})[]} */
const entries = [];

/** @param {any} api */
function show(api) {
  /** @type {Map<string, Entry[]>} */
  const groups = new Map(GROUPS.map(([, name]) => [name, []]));
  for (const [path, item] of Object.entries(api.paths)) {
    const [, group] = GROUPS.find(([prefix]) => path.startsWith(prefix)) ?? ['', ''];
    for (const method of METHODS.filter((name) => name in item)) {
      groups.get(group)?.push(call(api, method.toUpperCase(), path, item[method]));
    }
  }
  for (const [name, found] of groups) if (found.length) add(name, found, make('section', 'group', make('h2', '', name)));
  const types = Object.entries(api.components.schemas).map(([name, schema]) => type(name, schema));
  add(t('Errors'), errors(api), foldedGroup(t('Errors')));
  add(t('Types'), types, foldedGroup(t('Types')));
  $('version').textContent = api.info.version;
}

/** @param {string} name Of a group. @param {Entry[]} found @param {HTMLElement} section */
function add(name, found, section) {
  section.append(...found.map(({ node }) => node));
  $('reference').append(section);
  const lines = found.map(({ entry }) => make('li', '', entry));
  const listed = /** @type {HTMLDetailsElement} */ (make('details', '', make('summary', '', name), make('ul', '', ...lines)));
  listed.open = !(section instanceof HTMLDetailsElement);
  $('contents').append(listed);
  entries.push(...found.map((one, i) => ({ ...one, section, line: /** @type {HTMLElement} */ (lines[i]) })));
}

/** @param {string} name Of what is looked up, and not read. */
function foldedGroup(name) {
  return make('details', 'group', make('summary', '', make('h2', '', name)));
}

/**
 * What each status means, whichever call answers with it, and the codes that it comes with.
 *
 * @param {any} api
 * @returns {Entry[]}
 */
function errors(api) {
  /** @type {{code: string, status: number}[]} */
  const codes = api.components.schemas.ErrorBody['x-codes'];
  const operations = Object.values(api.paths).flatMap((item) => Object.values(item));
  const answers = operations.flatMap(({ responses }) => Object.entries(responses)).filter(([status]) => status >= '400');
  const said = [...new Map(answers).entries()].sort(([one], [other]) => one.localeCompare(other));
  return said.map(([status, { description }]) => {
    const own = codes.filter((each) => String(each.status) === status).map(({ code }) => code);
    const listed = own.flatMap((code, i) => [i ? ' ' : '', make('code', '', code)]);
    const node = make('div', 'error', make('h3', '', status), told(description), make('p', 'codes', ...listed));
    node.id = `error-${status}`;
    return { node, entry: link(node.id, status), words: [status, description, ...own].join(' ') };
  });
}

// Finding.

function filter() {
  const asked = /** @type {HTMLInputElement} */ ($('filter')).value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = entries.filter((entry) => {
    const isFound = asked.every((word) => entry.words.toLowerCase().includes(word));
    entry.node.hidden = entry.line.hidden = !isFound;
    return isFound;
  });
  for (const group of groupsOf('reference')) showGroup(group, ':scope > :is(.call, .error):not([hidden])', asked.length > 0);
  for (const group of groupsOf('contents')) showGroup(group, 'li:not([hidden])', asked.length > 0);
  $('found').textContent = asked.length ? found(fits.length) : '';
}

/** @param {string} id @returns {HTMLElement[]} */
function groupsOf(id) {
  return /** @type {any} */ ([...$(id).children]);
}

/** @param {HTMLElement} group @param {string} left What it may still show. @param {boolean} open */
function showGroup(group, left, open) {
  group.hidden = !group.querySelector(left);
  if (open && group instanceof HTMLDetailsElement) group.open = true;
}

/** @param {number} count */
function found(count) {
  if (!count) return t('Nothing has these words.');
  return count === 1 ? t('1 found') : t('{count} found', { count });
}

/** Unfolds what the address points to. It was not there yet when the page was loaded. */
function goTo() {
  // An id has nothing that would have to be escaped, and what cannot be unescaped is none.
  const target = document.getElementById(location.hash.slice(1));
  if (!target) return;
  for (let at = target.closest('details'); at; at = at.parentElement?.closest('details') ?? null) at.open = true;
  target.scrollIntoView();
}

$('filter').addEventListener('input', filter);
$('search').addEventListener('submit', (event) => {
  event.preventDefault();
  const [first] = entries.filter(({ node }) => !node.hidden);
  if (first) location.hash = first.node.id;
});
addEventListener('hashchange', goTo);
addEventListener('keydown', (event) => {
  if (event.key !== '/' || event.target instanceof HTMLInputElement) return;
  event.preventDefault();
  $('filter').focus();
});

try {
  show(await (await fetch(new URL('openapi.json', document.baseURI))).json());
  goTo();
} catch (error) {
  $('problem').hidden = false;
  throw error;
}
