/** The API reference: `openapi.json` for people. */

import { element, spans } from './inline.js';

const METHODS = ['post', 'get', 'put', 'delete'];

/** Paths by their beginning; the first that fits has it. */
const GROUPS = [
  ['/v1/streams', 'Streams'],
  ['/v1/topics', 'Topics and WebSocket'],
  ['/v1/ws', 'Topics and WebSocket'],
  ['/v1/models', 'Models'],
  ['/v1/admin', 'Operation'],
  ['/v1/session', 'Server and pages'],
  ['/v1/', 'OpenAI'],
  ['/', 'Server and pages'],
];

/** What a field is likely to hold, in the example of a call. */
const EXAMPLES = {
  model: 'smollm2',
  prompt: 'Why is the sea salty?',
  messages: [{ role: 'user', content: 'Why is the sea salty?' }],
  stream: true,
};

/**
 * Bounds of a JSON schema, in words.
 *
 * @type {[string, (bound: any) => string][]}
 */
const BOUNDS = [
  ['minimum', (n) => `≥ ${n}`],
  ['exclusiveMinimum', (n) => `> ${n}`],
  ['maximum', (n) => `≤ ${n}`],
  ['exclusiveMaximum', (n) => `< ${n}`],
  ['minLength', (n) => `at least ${count(n, 'character')}`],
  ['maxLength', (n) => `at most ${count(n, 'character')}`],
  ['minItems', (n) => `at least ${n}`],
  ['maxItems', (n) => `at most ${n}`],
  ['maxProperties', (n) => `at most ${n}`],
  ['pattern', (p) => `matches \`${p}\``],
];

/** @param {number} n @param {string} noun */
const count = (n, noun) => `${n} ${noun}${n === 1 ? '' : 's'}`;

/** @param {string} name @param {string} className @param {(string | Node)[]} children */
function make(name, className, ...children) {
  const node = element(name, children);
  node.className = className;
  return node;
}

/** @param {string} target @param {...(string | Node)} children */
function link(target, ...children) {
  const node = element('a', children);
  node.setAttribute('href', `#${target}`);
  return node;
}

/** @param {string} reference `#/components/schemas/NAME` */
const nameOf = (reference) => reference.split('/').at(-1) ?? '';

/**
 * The type of a schema in a few words, with links to the types it names.
 *
 * @param {any} schema
 * @returns {(string | Node)[]}
 */
function typeOf(schema) {
  if (schema.$ref) return [link(`type-${nameOf(schema.$ref)}`, nameOf(schema.$ref))];
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) return choices.flatMap((/** @type {any} */ choice, /** @type {number} */ i) => [i ? ' or ' : '', ...typeOf(choice)]);
  if (schema.enum) return [schema.enum.map((/** @type {unknown} */ value) => JSON.stringify(value)).join(' or ')];
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  if (schema.type === 'array' && schema.items) return ['list of ', ...typeOf(schema.items)];
  if (schema.additionalProperties?.type) return ['object of ', ...typeOf(schema.additionalProperties)];
  return [[schema.type ?? 'any'].flat().join(' or ')];
}

/**
 * @param {any} schema
 * @returns {string[]}
 */
function boundsOf(schema) {
  // The limits of 64 bits say nothing that a reader would need, and are not exact here.
  const tells = (/** @type {unknown} */ bound) => typeof bound !== 'number' || Math.abs(bound) < Number.MAX_SAFE_INTEGER;
  const own = BOUNDS.filter(([key]) => key in schema && tells(schema[key])).map(([key, say]) => say(schema[key]));
  return own.concat((schema.anyOf ?? []).flatMap(boundsOf));
}

/**
 * One row: a name with what may be in it.
 *
 * @param {string} name @param {any} schema @param {{required?: boolean, note?: string, description?: string}} about
 */
function row(name, schema, { required = false, note = '', description = schema.description ?? '' }) {
  const label = make('dt', '', make('code', '', name));
  if (required) label.append(' ', make('span', 'required', 'required'));
  const type = make('p', 'type', ...typeOf(schema));
  if (note) type.append(`, ${note}`);
  const bounds = boundsOf(schema);
  if (bounds.length) type.append('; ', ...spans(bounds.join(', ')));
  const fallback = schema.default ?? null;
  if (fallback !== null) type.append('; default ', make('code', '', JSON.stringify(fallback)));
  const body = make('dd', '', type);
  if (description) body.append(element('p', spans(description)));
  return [label, body];
}

/** @param {any} schema An object's. */
function fields(schema) {
  const required = new Set(schema.required);
  const rows = Object.entries(schema.properties ?? {}).flatMap(([name, field]) =>
    row(name, field, { required: required.has(name) }),
  );
  return make('dl', '', ...rows);
}

/** @param {any} operation */
function parameters(operation) {
  if (!operation.parameters?.length) return [];
  const rows = operation.parameters.flatMap((/** @type {any} */ parameter) =>
    row(parameter.name, parameter.schema ?? {}, { ...parameter, note: `in the ${parameter.in}` }),
  );
  return [element('h4', ['Parameters']), make('dl', '', ...rows)];
}

/**
 * The shapes that a body may have.
 *
 * @param {any} api @param {any} operation
 * @returns {any[]}
 */
function bodySchemas(api, operation) {
  const schema = operation.requestBody?.content?.['application/json']?.schema;
  const resolved = (/** @type {any} */ one) => (one.$ref ? api.components.schemas[nameOf(one.$ref)] : one);
  return schema ? (schema.anyOf ?? [schema]).map(resolved) : [];
}

/** @param {any} api @param {any} operation */
function body(api, operation) {
  return bodySchemas(api, operation).flatMap((schema, i) => {
    const name = operation.requestBody.required ? 'Body' : 'Body, optional';
    const heading = element('h4', [i ? 'Or' : name]);
    const about = schema.description ? [element('p', spans(schema.description))] : [];
    return [heading, ...about, fields(schema)];
  });
}

/** @param {any} operation */
function responses(operation) {
  const rows = Object.entries(operation.responses).flatMap(([status, response]) => {
    const text = element('p', spans(response.description));
    const kinds = Object.entries(response.content ?? {}).flatMap(([media, { schema }], i) => [
      i ? ', or ' : '',
      make('code', '', media.split(';')[0]),
      ...(schema ? [' ', ...typeOf(schema)] : []),
    ]);
    const good = status < '300';
    const label = make('dt', good ? 'good' : '', make('code', '', status));
    return [label, make('dd', '', text, ...(kinds.length && good ? [make('p', 'type', ...kinds)] : []))];
  });
  return [element('h4', ['Answers']), make('dl', 'answers', ...rows)];
}

/** @param {any} api @param {string} method @param {string} path @param {any} operation */
function curl(api, method, path, operation) {
  const at = new URL(path.slice(1), document.baseURI);
  const url = decodeURI(at.href).replace(/\{(\w+)\}/g, (_, name) => `$${name.toUpperCase()}`);
  const [schema] = bodySchemas(api, operation);
  const names = Object.keys(schema?.properties ?? {});
  const skip = names.includes('messages') ? 'prompt' : '';
  const sample = Object.entries(EXAMPLES).filter(([name]) => names.includes(name) && name !== skip);
  const streams = names.includes('stream') || path.endsWith('/events');
  const parts = [`curl ${streams ? '-N ' : ''}${method === 'GET' ? '' : `-X ${method} `}"${url}"`];
  if (operation.security) parts.push('-H "authorization: Bearer $TIDEGATE_API_KEY"');
  if (sample.length) {
    parts.push('-H "content-type: application/json"', `-d '${JSON.stringify(Object.fromEntries(sample))}'`);
  }
  const example = make('pre', '', element('code', [parts.join(' \\\n  ')]));
  example.tabIndex = 0;
  return [element('h4', ['Example']), example];
}

/** @param {any} api @param {string} method @param {string} path @param {any} operation */
function describe(api, method, path, operation) {
  const id = `call-${operation.operationId}`;
  const title = make('h3', '', make('span', `method ${method.toLowerCase()}`, method), ' ', make('code', '', path));
  const section = make('section', 'call', title, element('p', spans(operation.summary ?? '')));
  section.id = id;
  const scopes = (operation.security ?? []).flatMap((/** @type {object} */ way) => Object.values(way).flat());
  if (scopes.length) section.append(make('p', 'type', 'Scope ', make('code', '', scopes.join(', '))));
  section.append(...parameters(operation), ...body(api, operation), ...responses(operation));
  section.append(...curl(api, method, path, operation));
  const entry = link(id, make('span', `method ${method.toLowerCase()}`, method), ' ', path);
  return { section, entry };
}

/** @param {any} api */
function show(api) {
  /** @type {Map<string, {section: HTMLElement, entry: HTMLElement}[]>} */
  const groups = new Map(GROUPS.map(([, name]) => [name, []]));
  for (const [path, item] of Object.entries(api.paths)) {
    const [, group] = GROUPS.find(([prefix]) => path.startsWith(prefix)) ?? ['', 'Other'];
    for (const method of METHODS.filter((name) => name in item)) {
      groups.get(group)?.push(describe(api, method.toUpperCase(), path, item[method]));
    }
  }
  const reference = /** @type {HTMLElement} */ (document.getElementById('reference'));
  const contents = /** @type {HTMLElement} */ (document.getElementById('contents'));
  for (const [name, calls] of groups) {
    if (!calls.length) continue;
    reference.append(element('h2', [name]), ...calls.map(({ section }) => section));
    contents.append(element('h2', [name]), make('ul', '', ...calls.map(({ entry }) => element('li', [entry]))));
  }
  const types = Object.entries(api.components?.schemas ?? {}).map(([name, schema]) => {
    const section = make('section', 'call', make('h3', '', make('code', '', name)));
    section.id = `type-${name}`;
    if (schema.description) section.append(element('p', spans(schema.description)));
    section.append(schema.properties ? fields(schema) : make('p', 'type', ...typeOf(schema)));
    return section;
  });
  const heading = element('h2', ['Types']);
  heading.id = 'types';
  reference.append(heading, ...types);
  contents.append(element('h2', [link('types', 'Types')]));
  /** @type {HTMLElement} */ (document.getElementById('version')).textContent = api.info.version;
  // What the address points to was not there yet when the page was loaded.
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

try {
  show(await (await fetch(new URL('openapi.json', document.baseURI))).json());
} catch (error) {
  /** @type {HTMLElement} */ (document.getElementById('problem')).hidden = false;
  throw error;
}
