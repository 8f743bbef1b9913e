/** What is drawn anew when something has changed: in one of the next frames, but not in each of them. */

/** A text that grows is read as well in twenty pictures a second as in sixty. */
const LEAST_MS = 50;

/** Beyond it a text would seem to stand still. */
const MOST_MS = 200;

/** A picture is followed by so many times what it took, so that a slow machine draws less often instead of being busy. */
const REST = 20;

export class Painter {
  /** @param {() => void} paint */
  constructor(paint) {
    this._paint = paint;
    this._isAsked = false;
    this._nextAt = 0;
    this._costMs = 0;
  }

  /** Something has changed. */
  ask() {
    if (this._isAsked) return;
    this._isAsked = true;
    const rest = this._nextAt - performance.now();
    if (rest > 0) setTimeout(() => this._awaitFrame(), rest);
    else this._awaitFrame();
  }

  _awaitFrame() {
    requestAnimationFrame(() => {
      const began = performance.now();
      this._isAsked = false;
      this._nextAt = began + Math.min(Math.max(REST * this._costMs, LEAST_MS), MOST_MS);
      this._paint();
      // The browser lays out and draws before it comes to this.
      setTimeout(() => this._note(performance.now() - began));
    });
  }

  /** @param {number} ms What a picture has taken. One that something else has held up says little. */
  _note(ms) {
    this._costMs += (Math.min(ms, 2 * this._costMs + 1) - this._costMs) / 4;
  }
}
