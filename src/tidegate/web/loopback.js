/** Addresses that lead nobody else anywhere. */

import { t } from './language.js';

const OWN = /^(localhost|.+\.localhost|127(\.\d+){3}|\[::1\])$/;

/**
 * What is to be said of an address that is given to others.
 *
 * @param {string | URL} url
 * @returns {string} Empty where there is nothing to warn of.
 */
export function onlyHere(url) {
  const { hostname } = new URL(url);
  return OWN.test(hostname)
    ? t('Only this machine can open this address: for one that others can open, the server needs its public_url.')
    : '';
}
