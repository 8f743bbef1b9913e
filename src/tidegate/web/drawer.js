/** The drawer beside the conversation: what the stream of the latest answer went through, as it happens. */

import { factsOf, figure, lineOf, verdictOf } from './happened.js';
import { t } from './language.js';
import { make } from './nodes.js';
import { $, announce, base, keepAtEnd } from './page.js';
import { request } from './request.js';
import { Strip } from './strip.js';
import { readStream } from './tidegate.js';

/** @typedef {import('./live.js').Live} Live */

const DRAW_EVERY_MS = 250;
const COUNT_EVERY_MS = 3000;

class Drawer {
  constructor() {
    this._strip = new Strip($('strip'));
    /** @type {Live | null} */
    this._live = null;
    /** @type {number | null} */
    this._readers = null;
    /** @type {boolean | null} */
    this._same = null;
    this._countedAt = 0;
    /** @type {ReturnType<typeof setInterval> | undefined} */
    this._drawing = undefined;
    /** What is shown of the lines, as one text. */
    this._shownLines = '';
    $('happened').addEventListener('click', () => (this.isOpen ? this.close() : this._open()));
    $('drawer-close').addEventListener('click', () => this.close());
    $('drawer').addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => this._press(event));
    $('cut').addEventListener('click', () => this._cut());
  }

  get isOpen() {
    return !$('drawer').hidden;
  }

  /** @param {Live | null} live The one that it tells of. */
  show(live) {
    if (live === this._live) return;
    Object.assign(this, { _live: live, _readers: null, _same: null, _countedAt: 0, _shownLines: '' });
    $('lines').replaceChildren();
    if (this.isOpen) this._draw();
  }

  close() {
    clearInterval(this._drawing);
    $('drawer').hidden = true;
    $('happened').setAttribute('aria-expanded', 'false');
    $('happened').focus();
    keepAtEnd();
  }

  _open() {
    $('drawer').hidden = false;
    $('happened').setAttribute('aria-expanded', 'true');
    $('drawer').focus({ preventScroll: true });
    this._drawing = setInterval(() => this._draw(), DRAW_EVERY_MS);
    this._draw();
    keepAtEnd();
  }

  /** @param {KeyboardEvent} event */
  _press(event) {
    if (event.key !== 'Escape') return;
    event.stopPropagation();
    this.close();
  }

  _cut() {
    this._live?.cut();
    announce(t('The connection was cut.'));
    this._draw();
  }

  _draw() {
    const live = this._live;
    $('drawer').classList.toggle('empty', !live);
    $('cut').disabled = live?.standing.state !== 'streaming';
    if (!live) {
      write($('verdict'), t('Ask something, and see here how the answer comes.'));
      return;
    }
    const now = Date.now();
    this._strip.draw(live.trace, now);
    write($('verdict'), verdictOf(live, this._same));
    this._drawFacts(live, now);
    this._drawLines(live);
    if (now - this._countedAt > COUNT_EVERY_MS) this._ask(live, now);
  }

  /** @param {Live} live @param {number} now */
  _drawFacts(live, now) {
    const readers = live.turn.status === 'live' ? this._readers : null;
    const known = { readers, transport: live.transport, now };
    const facts = factsOf(live, known);
    const list = $('facts');
    facts.forEach(([label, value], at) => {
      if (!list.children[at]) list.append(make('div', '', make('dt', ''), make('dd', '')));
      write(list.children[at].children[0], label);
      write(list.children[at].children[1], value);
    });
  }

  /** @param {Live} live */
  _drawLines({ trace }) {
    const said = trace.lines.map(lineOf).join('\n');
    if (said === this._shownLines) return;
    this._shownLines = said;
    const items = trace.lines.map((line) => {
      const time = make('span', 'at', t('{seconds} s', { seconds: figure(line.at / 1000) }));
      const item = make('li', '', time, make('span', 'line', lineOf(line)));
      item.dataset.kind = line.kind;
      return item;
    });
    $('lines').replaceChildren(...items);
    $('lines').scrollTop = $('lines').scrollHeight;
  }

  /** Who reads along; and at the end, whether the words are the server's. @param {Live} live @param {number} now */
  async _ask(live, now) {
    const { turn } = live;
    if (!turn.id || this._same !== null) return;
    this._countedAt = now;
    if (turn.status === 'live') {
      const path = `v1/streams/${encodeURIComponent(turn.id)}/readers`;
      const answer = await request('GET', path, { base }).then((response) => response.json(), () => null);
      if (this._live === live) this._readers = answer?.readers ?? null;
    } else if (turn.status !== 'lost' && !turn.unsettled) {
      this._readers = null;
      const snapshot = await readStream(turn.id).catch(() => null);
      if (this._live === live && snapshot) this._same = turn.prior + snapshot.text === turn.text;
    }
  }
}

/** @param {Element} node @param {string} text */
function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export const drawer = new Drawer();
