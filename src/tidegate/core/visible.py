"""Makes text from outside safe for terminals and logs."""

from __future__ import annotations

import json
import re

# A terminal obeys C0 (tab and newline are harmless), DEL, and C1, in which ECMA-48 has `ESC [` as one character. Bidi
# embeddings, overrides and isolates (UAX 9, 2) change the order in which text is displayed; U+2028 and U+2029 begin a
# line for many readers of logs; a lone surrogate is no text at all.
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with every control character as an escape: `\\x1b`, `\\r`, `\\u202e`.

    Each is replaced by itself, so a sequence cut in two is as harmless as a whole one. Newlines and tabs stay.
    """
    return UNSAFE.sub(_escape, text)


def visible_line(text: str) -> str:
    """The text as `visible` returns it, on one line: newlines are escaped, too."""
    return visible(text).replace("\n", "\\n")


def visible_json(value: object) -> str:
    """The value as JSON on one line, in which every control character is an escape of JSON's own: `\\u009b`."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
