/**
 * What tells that the network is back, and what tells that a connection is dead.
 *
 * A page learns of both late: a cut connection makes no `online` event, and a phone closes sockets in the background
 * without a word. So, while somebody looks, the server is asked whether it is there: once for all that wait for it.
 *
 * @typedef {object} Waiter A reader of a stream or topic.
 * @property {string} base Of its server.
 * @property {boolean} away Whether it has lost its connection, and the server has not answered since.
 * @property {number} quietUntil A time, in milliseconds, before which answers of `/healthz` do not wake it.
 * @property {() => void} wake
 */

const HEALTH_MS = 2250;
const HEALTH_JITTER_MS = 500;
const HEALTH_PATIENCE_MS = 2000;

/** A server that answers, but has nothing for this reader, is not asked for it with each answer. */
const IN_VAIN_MS = 30_000;

/** Back at the page, nobody waits until a silent connection is silent for certain: a heartbeat was due by now. */
const ON_RETURN = 0.7;

export const SILENT = 'The connection went silent.';

/** @type {Set<Waiter>} */
export const waiters = new Set();
/** @type {Set<(share?: number) => void>} What checks a connection. */
const pulses = new Set();
let isLooking = false;

/** Those who wait for a server that somebody looks at: elsewhere than in pages there is nobody who looks. */
const awaiting = () =>
  globalThis.document?.hidden === false ? [...waiters].filter(({ away }) => away) : [];

/** Something says that the servers can be reached. @param {string} [base] That this one can. */
export function wake(base) {
  for (const waiter of waiters) if (!base || waiter.base === base) waiter.wake();
  lookAfter();
}

/** Asks for the servers' health from now on, for as long as somebody waits for one and somebody looks. */
export function lookAfter() {
  if (isLooking || !awaiting().length) return;
  isLooking = true;
  setTimeout(() => {
    isLooking = false;
    new Set(awaiting().map(({ base }) => base)).forEach(ask);
    lookAfter();
  }, HEALTH_MS + HEALTH_JITTER_MS * Math.random());
}

/** @param {string} base */
async function ask(base) {
  const options = { signal: AbortSignal.timeout(HEALTH_PATIENCE_MS), cache: /** @type {const} */ ('no-store') };
  const isThere = await fetch(new URL('healthz', base), options).then(({ ok }) => ok, () => false);
  const now = performance.now();
  for (const waiter of awaiting()) {
    if (waiter.base !== base) continue;
    if (isThere && waiter.quietUntil < now) waiter.wake();
    waiter.quietUntil = isThere ? now + IN_VAIN_MS : 0;
  }
}

/** @param {Event} event */
function sign({ type }) {
  if (type === 'visibilitychange' && document.hidden) return;
  for (const check of pulses) check(ON_RETURN);
  wake();
}

// Workers, too, hear of the network. Node does not.
for (const type of ['online', 'focus', 'visibilitychange']) globalThis.addEventListener?.(type, sign);

/**
 * Notices that a connection has been silent for too long.
 *
 * @param {() => number} limitMs
 * @param {(isSign: boolean) => unknown} onSilent Whether it is given as long again. `isSign`: the network may be
 * back.
 * @returns {{beat: () => void, stop: () => void}} `beat`: something has come.
 */
export function pulse(limitMs, onSilent) {
  let last = 0;
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;
  const check = (share = 1) => {
    clearTimeout(timer);
    const leftMs = share * limitMs() + last - performance.now();
    if (leftMs > 0) timer = setTimeout(check, leftMs);
    else if (onSilent(share < 1)) beat();
  };
  const beat = () => {
    last = performance.now();
    check();
  };
  const stop = () => {
    clearTimeout(timer);
    pulses.delete(check);
  };
  pulses.add(check);
  beat();
  return { beat, stop };
}
