/** The tab's title: it tells how the answer stands to who looks elsewhere. */

import { t } from './language.js';

const NAME = 'tidegate';

/** Whether an answer has come while nobody looked. */
let unseen = false;
let writing = false;

const MARKS = {
  writing: t('● Answering'),
  broken: t('◌ Reconnecting'),
  failed: t('▲ Failed'),
  unseen: t('✓ Answered'),
};

/**
 * @param {import('./live.js').Live | null} live
 * @param {import('./turn.js').Turn | undefined} last
 * @param {string} name
 */
export function showTitle(live, last, name) {
  if (writing && !live && document.visibilityState === 'hidden') unseen = true;
  writing = live !== null;
  const mark = markOf(live, last);
  const title = [mark, name, NAME].filter(Boolean).join(' · ');
  if (document.title !== title) document.title = title;
}

/** @param {import('./live.js').Live | null} live @param {import('./turn.js').Turn | undefined} last */
function markOf(live, last) {
  if (live) return live.reachable ? MARKS.writing : MARKS.broken;
  if (last?.status === 'failed' || last?.status === 'lost') return MARKS.failed;
  return unseen ? MARKS.unseen : '';
}

/** @param {() => void} show */
export function onSeen(show) {
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'hidden') return;
    unseen = false;
    show();
  });
}
