/**
 * JSON schemas in words: of what type a value is, between what bounds, and what fields an object has.
 *
 * @typedef {any} Schema
 */

import { t } from './language.js';
import { make } from './nodes.js';

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

/** @param {string} reference `#/components/schemas/NAME` */
export const nameOf = (reference) => reference.split('/').at(-1) ?? '';

/** @param {string} name Two types of one name have that of their module before it. */
export const shortName = (name) => name.split('.').slice(-2).join('.');

/**
 * What the description of the API says, which is English, with its code as code.
 *
 * @param {string} text
 */
export function told(text) {
  const parts = text.split('`').map((part, i) => (i % 2 ? make('code', '', part) : part));
  const node = make('p', 'told', ...parts);
  node.lang = 'en';
  return node;
}

/** @param {string} target @param {...(string | Node)} children */
export function link(target, ...children) {
  const node = make('a', '', ...children);
  node.setAttribute('href', `#${target}`);
  return node;
}

/**
 * The type of a schema in a few words, with links to the types it names.
 *
 * @param {Schema} schema
 * @returns {(string | Node)[]}
 */
export function typeOf(schema) {
  if (schema.$ref) return [link(`type-${nameOf(schema.$ref)}`, shortName(nameOf(schema.$ref)))];
  const choices = schema.anyOf ?? schema.oneOf;
  if (choices) {
    return choices.flatMap((/** @type {Schema} */ one, /** @type {number} */ i) => [i ? ' or ' : '', ...typeOf(one)]);
  }
  if (schema.enum) return [schema.enum.map((/** @type {unknown} */ value) => JSON.stringify(value)).join(' or ')];
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  if (schema.type === 'array' && schema.items) return ['list of ', ...typeOf(schema.items)];
  if (schema.additionalProperties?.type) return ['object of ', ...typeOf(schema.additionalProperties)];
  return [[schema.type ?? 'any JSON'].flat().join(' or ')];
}

/**
 * @param {Schema} schema
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
 * @param {string} name @param {Schema} schema @param {{required?: boolean, note?: string, description?: string}} about
 */
export function row(name, schema, { required = false, note = '', description = schema.description ?? '' }) {
  const label = make('dt', '', make('code', '', name));
  if (required) label.append(' ', make('span', 'required', t('required')));
  const type = make('p', 'type', ...typeOf(schema));
  type.lang = 'en';
  if (note) type.append(`, ${note}`);
  const bounds = boundsOf(schema);
  if (bounds.length) type.append('; ', ...told(bounds.join(', ')).childNodes);
  const fallback = schema.default ?? null;
  if (fallback !== null) type.append('; default ', make('code', '', JSON.stringify(fallback)));
  return [label, make('dd', '', type, ...(description ? [told(description)] : []))];
}

/** @param {Schema} schema An object's. */
export function fields(schema) {
  const required = new Set(schema.required);
  const rows = Object.entries(schema.properties ?? {}).flatMap(([name, field]) =>
    row(name, field, { required: required.has(name) }),
  );
  return make('dl', '', ...rows);
}
