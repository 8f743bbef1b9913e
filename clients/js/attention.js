/**
 * Calls back when the browser says that the network, or the reader, has returned. Elsewhere it never does.
 *
 * @param {() => void} callback
 * @param {AbortSignal} until
 */
export function onReturn(callback, until) {
  if (typeof document === 'undefined') return;
  const visible = () => document.visibilityState === 'visible' && callback();
  addEventListener('online', callback, { signal: until });
  document.addEventListener('visibilitychange', visible, { signal: until });
}
