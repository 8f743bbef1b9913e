/** A stream drawn along its time: what came when, where the connection was gone, and how far its reader is. */

/** @typedef {import('./trace.js').Trace} Trace */

const WIDTH = 320;
const HEIGHT = 64;
const GROUND = 56;

/** A picture of less would leap about. */
const LEAST_MS = 8000;

export class Strip {
  /** @param {SVGElement} svg Empty. */
  constructor(svg) {
    svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
    this._breaks = add(svg, 'path', 'breaks');
    this._ground = add(svg, 'path', 'ground');
    this._pieces = add(svg, 'path', 'pieces');
    this._cursor = add(svg, 'path', 'cursor');
    this._head = add(svg, 'circle', 'head');
    this._head.setAttribute('r', '3.5');
  }

  /** @param {Trace} trace @param {number} now */
  draw(trace, now) {
    const elapsed = trace.elapsed(now);
    const scale = (WIDTH - 8) / Math.max(elapsed, LEAST_MS);
    const at = (elapsed * scale).toFixed(1);
    this._pieces.setAttribute('d', pieces(trace, scale));
    this._breaks.setAttribute('d', trace.breaks.map(({ from, to }) => gap(from, to ?? elapsed, scale)).join(''));
    this._ground.setAttribute('d', `M0 ${GROUND}H${at}`);
    this._cursor.setAttribute('d', `M${at} 4V${GROUND}`);
    this._head.setAttribute('cx', at);
    this._head.setAttribute('cy', String(GROUND));
  }
}

/** @param {Trace} trace @param {number} scale */
function pieces({ columns, columnMs }, scale) {
  const most = Math.max(...columns, 1);
  const width = Math.max(columnMs * scale - 0.6, 0.6).toFixed(2);
  const bar = (/** @type {number} */ count, /** @type {number} */ at) => {
    // What comes at once after a break is a hundred times what comes in between.
    const height = (Math.sqrt(count / most) * (GROUND - 8)).toFixed(1);
    return `M${(at * columnMs * scale).toFixed(2)} ${GROUND}v-${height}h${width}v${height}z`;
  };
  return columns.map((count, at) => (count ? bar(count, at) : '')).join('');
}

/** @param {number} from @param {number} to @param {number} scale */
function gap(from, to, scale) {
  return `M${(from * scale).toFixed(1)} 4V${GROUND}H${(to * scale).toFixed(1)}V4z`;
}

/** @param {SVGElement} svg @param {string} name @param {string} className */
function add(svg, name, className) {
  const node = document.createElementNS('http://www.w3.org/2000/svg', name);
  node.setAttribute('class', className);
  svg.append(node);
  return node;
}
