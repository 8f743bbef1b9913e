/**
 * The kinds of blocks in a text of Markdown.
 *
 * @typedef {{kind: 'paragraph', text: string}} Paragraph
 * @typedef {{kind: 'heading', level: number, text: string}} Heading
 * @typedef {{kind: 'code', language: string, text: string, isClosed: boolean}} Code
 * @typedef {{kind: 'rule'}} Rule
 * @typedef {{kind: 'table', aligns: import('./marks.js').Align[], rows: import('./row.js').Row[]}} Table Its first row is its head.
 * @typedef {{kind: 'quote', children: Block[]}} Quote
 * @typedef {{kind: 'list', isOrdered: boolean, start: number, isLoose: boolean, children: Item[]}} List
 * @typedef {{kind: 'item', isDone: boolean | undefined, children: Block[]}} Item `isDone`: of a task, none where it is none.
 * @typedef {{kind: 'document', children: Block[]}} Document
 * @typedef {Paragraph | Heading | Code | Rule | Table | Quote | List} Block
 * @typedef {Document | Quote | List | Item} Container
 */

export {};
