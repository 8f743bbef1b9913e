/** The name of a conversation: its first question, until its reader gives it another. */

import { $ } from './page.js';

/** @type {(title: string) => void} */
let then = () => {};

/** @param {string} title What it is now. @param {(title: string) => void} use Called with what is given; empty for nothing. */
export function askForTitle(title, use) {
  then = use;
  $('title').value = title;
  $('title-dialog').returnValue = '';
  $('title-dialog').showModal();
  $('title').select();
}

function closed() {
  const isGiven = $('title-dialog').returnValue === 'given';
  then(isGiven ? $('title').value.trim() : '');
}

$('title-dialog').addEventListener('close', closed);
$('title-later').addEventListener('click', () => $('title-dialog').close());
