/** Signing out, which is the same on all pages: nothing stays behind, in any tab. */

import { endSession } from './account.js';
import { explained } from './failures.js';
import { forget, sendOthersAway } from './forget.js';
import { noteKey } from './key.js';
import { t } from './language.js';
import { base, showNotice } from './page.js';

export async function signOut() {
  forget();
  try {
    await endSession({ base });
  } catch (error) {
    const why = explained(/** @type {Error} */ (error));
    showNotice(t('You are still signed in: {why}', { why }), t('Try again'), signOut);
    return;
  }
  noteKey('');
  sendOthersAway();
  location.reload();
}
