/** Rendering at most once in an animation frame, however fast events come. */

/** Hidden pages get no frames, and other places have none. */
const FALLBACK_MS = 100;

/**
 * @param {() => void} render
 * @returns {(() => void) & {now: () => void, stop: () => void}} Asks for a rendering; `now` does at once what waits,
 * `stop` forgets it.
 */
export function frames(render) {
  let isAsked = false;
  /** @type {number} */
  let frame;
  /** @type {ReturnType<typeof setTimeout>} */
  let timer;
  const stop = () => {
    isAsked = false;
    clearTimeout(timer);
    globalThis.cancelAnimationFrame?.(frame);
  };
  const now = () => {
    if (!isAsked) return;
    stop();
    render();
  };
  const draw = () => {
    if (isAsked) return;
    isAsked = true;
    timer = setTimeout(now, FALLBACK_MS);
    frame = globalThis.requestAnimationFrame?.(now);
  };
  return Object.assign(draw, { now, stop });
}
