/**
 * What is typed and not sent yet, by conversation: kept over a refresh for its tab, and for whoever opens the
 * conversation once that tab is closed.
 */

export class Drafts {
  /**
   * @param {import('./storage.js').Store} session Of this tab.
   * @param {import('./storage.js').Store} local Of all tabs.
   * @param {string} place
   */
  constructor(session, local, place) {
    this._session = session;
    this._local = local;
    this._prefix = `tidegate:${place}:draft:`;
  }

  /** @param {string} id Of the conversation; empty for the one that has not begun. */
  read(id) {
    const name = this._prefix + id;
    return this._session.get(name) ?? this._local.get(name) ?? '';
  }

  /** @param {string} id @param {string} text Once this tab has sent its own, what another tab has typed is that tab's. */
  keep(id, text) {
    const name = this._prefix + id;
    const before = this._session.get(name);
    this._session.set(name, text);
    if (text) this._local.set(name, text);
    else if (before === this._local.get(name)) this._local.remove(name);
  }

  /** @param {string} id Of a conversation that is deleted. */
  drop(id) {
    this._session.remove(this._prefix + id);
    this._local.remove(this._prefix + id);
  }
}
