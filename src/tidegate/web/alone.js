/** Work that one tab of this browser does at a time. */

import { place } from './page.js';

/**
 * @template T
 * @param {string} name
 * @param {() => T} work
 * @returns {Promise<T>}
 */
export async function alone(name, work) {
  // Pages on plain http have no locks: what two tabs do at once there is found out afterwards.
  return navigator.locks ? navigator.locks.request(`tidegate:${place}:${name}`, work) : work();
}
