/**
 * Nodes for things of which only the last one grows, and others may follow: blocks, items, rows.
 *
 * @template T
 * @typedef {{of: T, node: HTMLElement, update: () => void}} View One thing's nodes; `update` brings them up to it.
 */

/** @template {object} T */
export class Views {
  /** @param {{append: (node: HTMLElement) => void}} parent Its nodes are appended to it. @param {(of: T) => View<T>} viewOf */
  constructor(parent, viewOf) {
    this._parent = parent;
    this._viewOf = viewOf;
    /** @type {View<T>[]} */
    this._views = [];
  }

  get count() {
    return this._views.length;
  }

  /** @param {number} index */
  nodeOf(index) {
    return this._views[index].node;
  }

  /** @param {T[]} things Those before, of which the last one may have grown or be another one, and more. */
  show(things) {
    let same = Math.min(this._views.length, things.length);
    while (same > 0 && this._views[same - 1].of !== things[same - 1]) same -= 1;
    for (const { node } of this._views.splice(same)) node.remove();
    this._views[same - 1]?.update();
    for (; same < things.length; same += 1) this._add(this._viewOf(things[same]));
  }

  /** @param {View<T>} view */
  _add(view) {
    this._views.push(view);
    view.update();
    this._parent.append(view.node);
  }
}
