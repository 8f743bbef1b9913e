/**
 * Characters that do something to a text instead of being part of it, made visible and harmless: controls, and those that
 * turn the direction of what follows, with which code can look like other code. Pure. No text gets longer or shorter.
 */

const ACTIVE = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;

/** The pictures of the controls, by their codes from here on. */
const PICTURES = 0x2400;
const REPLACEMENT = '\ufffd';

/** @param {string} text */
export function inert(text) {
  return text.replace(ACTIVE, (character) => {
    const code = character.charCodeAt(0);
    if (code === 0x7f) return '\u2421';
    return code < 0x20 ? String.fromCharCode(PICTURES + code) : REPLACEMENT;
  });
}
