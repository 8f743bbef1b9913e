/** What is drawn anew when something has changed: in one of the next frames, but not in each of them. */

/** A text that grows is read as well in twenty pictures a second as in sixty, and each of them costs the same. */
const LEAST_MS = 50;

export class Painter {
  /** @param {() => void} paint */
  constructor(paint) {
    this._paint = paint;
    this._isAsked = false;
    this._paintedAt = -LEAST_MS;
  }

  /** Something has changed. */
  ask() {
    if (this._isAsked) return;
    this._isAsked = true;
    const rest = this._paintedAt + LEAST_MS - performance.now();
    if (rest > 0) setTimeout(() => this._awaitFrame(), rest);
    else this._awaitFrame();
  }

  _awaitFrame() {
    requestAnimationFrame((now) => {
      this._isAsked = false;
      this._paintedAt = now;
      this._paint();
    });
  }
}
