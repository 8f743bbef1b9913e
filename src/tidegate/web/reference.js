/**
 * One entry of the API reference: a call or a type, folded until somebody wants to know.
 *
 * @typedef {any} Operation As in `openapi.json`.
 * @typedef {{node: HTMLElement, entry: HTMLElement, words: string}} Entry Its line in the contents, and what it is
 * found by.
 */

import { copyText } from './clipboard.js';
import { t } from './language.js';
import { button, make } from './nodes.js';
import { fields, link, nameOf, row, shortName, told, typeOf } from './schema.js';

const COPIED_FOR_MS = 2000;

/** What a field is likely to hold, in the example of a call. */
const EXAMPLES = {
  model: 'smollm2',
  prompt: 'Why is the sea salty?',
  messages: [{ role: 'user', content: 'Why is the sea salty?' }],
  stream: true,
  data: { text: 'Good morning' },
  token: 'KEY',
  lease: 'LEASE',
  expected_offset: 1,
  events: [{ type: 'delta', data: { text: 'It is' } }],
};

/**
 * @param {any} api @param {string} method @param {string} path @param {Operation} operation
 * @returns {Entry}
 */
export function call(api, method, path, operation) {
  const id = `call-${operation.operationId}`;
  const badge = () => make('span', `method ${method.toLowerCase()}`, method);
  const node = folded(id, [badge(), ' ', make('code', 'path', path)], operation.summary);
  const bodies = bodySchemas(api, operation);
  node.append(
    ...access(operation),
    sample(t('Example'), operation['x-calls'] ? opened(path) : curl(method, path, operation, bodies[0])),
    ...parameters(operation),
    ...bodies.flatMap((schema, i) => body(schema, i, operation.requestBody.required)),
    ...answers(operation),
    ...(operation['x-calls'] ?? []).flatMap(socketCall),
  );
  const asked = [...(operation.parameters ?? []).map((/** @type {any} */ one) => one.name), ...bodies.flatMap(namesOf)];
  const ops = (operation['x-calls'] ?? []).map((/** @type {any} */ one) => one.op);
  const words = [method, path, operation.operationId, operation.summary, ...asked, ...ops].join(' ');
  return { node, entry: link(id, badge(), ' ', path), words };
}

/**
 * @param {string} name @param {any} schema
 * @returns {Entry}
 */
export function type(name, schema) {
  const id = `type-${name}`;
  const node = folded(id, [make('code', 'path', shortName(name))], schema.description ?? '');
  if (schema['x-events']) node.append(...eventTable(schema['x-events']));
  if (schema.examples) node.append(sample(t('A whole one'), schema.examples[0]));
  if (schema.properties) node.append(fields(schema));
  else if (!schema.examples) node.append(make('p', 'type', ...typeOf(schema)));
  const events = (schema['x-events'] ?? []).map((/** @type {any} */ one) => one.event);
  const words = [name, schema.description, ...namesOf(schema), ...events].join(' ');
  return { node, entry: link(id, shortName(name)), words };
}

/** @param {string} id @param {(Node | string)[]} title @param {string} about */
function folded(id, title, about) {
  const said = make('span', 'about', ...told(about.split('\n\n')[0] ?? '').childNodes);
  said.lang = 'en';
  const node = make('details', 'call', make('summary', '', make('h3', 'name', ...title), said));
  node.id = id;
  return node;
}

/** @param {Operation} operation */
function access({ security = [] }) {
  const scopes = security.flatMap((/** @type {object} */ way) => Object.values(way).flat());
  if (!scopes.length) return [];
  return [make('p', 'type', `${t('Scope')} `, make('code', '', scopes.join(', ')))];
}

/** @param {string} title @param {string} text What may be copied. */
function sample(title, text) {
  const copy = button(t('Copy'), async () => {
    copy.textContent = (await copyText(text)) ? t('Copied') : t('The browser did not let it be copied.');
    setTimeout(() => copy.replaceChildren(t('Copy')), COPIED_FOR_MS);
  });
  copy.setAttribute('aria-live', 'polite');
  return make('div', 'sample', make('div', 'sample-head', make('h4', '', title), copy), block(text));
}

/** @param {string} text Which may be wider than the page: it is scrolled, by the keyboard too. */
function block(text) {
  const node = make('pre', '', make('code', '', text));
  node.tabIndex = 0;
  return node;
}

/** @param {Operation} operation */
function parameters({ parameters: asked = [] }) {
  if (!asked.length) return [];
  const rows = asked.flatMap((/** @type {any} */ parameter) =>
    row(parameter.name, parameter.schema ?? {}, { ...parameter, note: `in the ${parameter.in}` }),
  );
  return [make('h4', '', t('Parameters')), make('dl', '', ...rows)];
}

/**
 * The shapes that a body may have.
 *
 * @param {any} api @param {Operation} operation
 * @returns {any[]}
 */
function bodySchemas(api, operation) {
  const schema = operation.requestBody?.content?.['application/json']?.schema;
  const resolved = (/** @type {any} */ one) => (one.$ref ? api.components.schemas[nameOf(one.$ref)] : one);
  return schema ? (schema.anyOf ?? [schema]).map(resolved) : [];
}

/** @param {any} schema @param {number} i Among those that it may be. @param {boolean} required */
function body(schema, i, required) {
  const name = required ? t('Body') : t('Body, optional');
  const about = schema.description ? [told(schema.description)] : [];
  return [make('h4', '', i ? t('Or') : name), ...about, fields(schema)];
}

/** @param {any} schema */
function namesOf(schema) {
  return Object.keys(schema.properties ?? {});
}

/** @param {Operation} operation Errors are the same everywhere, and said once. */
function answers({ responses }) {
  const all = Object.entries(responses);
  const rows = all.filter(([status]) => status < '300').flatMap(([status, answer]) => good(status, answer));
  const failures = all.filter(([status]) => status >= '400').map(([status]) => link(`error-${status}`, status));
  const samples = all.flatMap(([, { content = {} }]) => content['text/event-stream']?.example ?? []);
  return [
    make('h4', '', t('Answers')),
    make('dl', 'answers', ...rows),
    make('p', 'errors', `${t('Errors')} `, ...failures.flatMap((one, i) => [i ? ' ' : '', one])),
    ...samples.slice(0, 1).map((text) => sample(t('What a stream looks like'), text)),
  ];
}

/** @param {string} status @param {any} answer */
function good(status, { description, content = {} }) {
  const kinds = Object.entries(content).flatMap(([media, { schema }], i) => [
    i ? ', or ' : '',
    make('code', '', media.split(';')[0] ?? ''),
    ...(schema ? [' ', ...typeOf(schema)] : []),
  ]);
  const of = make('p', 'type', ...kinds);
  of.lang = 'en';
  const label = make('dt', 'good', make('code', '', status));
  return [label, make('dd', '', told(description), ...(kinds.length ? [of] : []))];
}

/** @param {{event: string, about: string, data: object, id: string}[]} kinds */
function eventTable(kinds) {
  const rows = kinds.flatMap(({ event, about, data }) => [
    make('dt', '', make('code', '', event)),
    make('dd', '', told(about), make('code', 'data', JSON.stringify(data))),
  ]);
  return [make('h4', '', t('Events')), make('dl', '', ...rows)];
}

/** @param {{op: string, about: string, call: object, ok: object}} sample */
function socketCall({ op, about, call: asked, ok }) {
  const { id } = /** @type {{id: number}} */ (asked);
  const lines = [`→ ${JSON.stringify(asked)}`, `← ${JSON.stringify({ id, ok })}`].join('\n');
  return [make('h4', '', make('code', '', op)), told(about), block(lines)];
}

/** @param {string} method @param {string} path @param {Operation} operation @param {any} schema */
function curl(method, path, operation, schema) {
  const at = decodeURI(new URL(path.slice(1), document.baseURI).href);
  const url = at.replace(/\{(\w+)\}/g, (_, name) => `$${name.toUpperCase()}`);
  const names = namesOf(schema ?? {});
  const skip = names.includes('messages') ? 'prompt' : '';
  const given = Object.entries(EXAMPLES).filter(([name]) => names.includes(name) && name !== skip);
  const streams = names.includes('stream') || path.endsWith('/events');
  const verb = method === 'GET' || given.length ? '' : `-X ${method} `;
  const parts = [`curl ${streams ? '-N ' : ''}${verb}"${url}"`];
  if (operation.security) parts.push('-H "authorization: Bearer $TIDEGATE_API_KEY"');
  if (given.length) {
    parts.push('-H "content-type: application/json"', `-d '${JSON.stringify(Object.fromEntries(given))}'`);
  }
  return parts.join(' \\\n  ');
}

/** @param {string} path Of a WebSocket. */
function opened(path) {
  const url = new URL(path.slice(1), document.baseURI);
  url.protocol = url.protocol.replace('http', 'ws');
  return `const socket = new WebSocket('${url}', ['tidegate.v1', \`bearer.${'${key}'}\`]);`;
}
