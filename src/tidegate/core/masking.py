"""Masks secrets where they do not belong, e.g. in a path or in place of a stream's id: they must not be logged."""

from __future__ import annotations

import re
from urllib.parse import unquote

MASK = "***"

_NO_ID = "".join(f"(?<!{prefix})" for prefix in ("gen_", "req_", "resp_", "msg_", "call_", "chatcmpl-"))

_PATTERNS = tuple(
    re.compile(pattern, flags)
    for pattern, flags in (
        # Half a token is a secret, too; 16 digits are required, since a topic may be called share_feed.
        (r"(share_|lease_)[0-9a-f]{16,}", re.IGNORECASE),
        # Our own keys, and the prefixes of other vendors' keys.
        (r"(?<![A-Za-z0-9])(tg_)[\w-]{8,}", re.ASCII),
        (r"(?<![A-Za-z0-9])((?:[spr]k|gh[a-z]|github_pat|glpat|xox[a-z]|hf|gsk|xai)[_-])[\w-]{16,}", re.ASCII),
        # A JSON object in base64url: a JWT, or the beginning of one.
        (r"(?<![A-Za-z0-9])()eyJ[\w-]{8,}(?:\.[\w-]*)*", re.ASCII),
        (r"\b((?:\w*token|api[_-]?key|secret|password|authorization|sig(?:nature)?)=)[^&;/\s'\"]+", re.IGNORECASE),
        (r"\b(bearer[ .+])(?!TOKEN\b)[^/\s'\"]+", re.IGNORECASE),
        (r"(://)[^/@\s]+@", re.ASCII),
        # Letters and digits mixed as in no name; our ids are no secrets. First without, then with `-` and `_`.
        (rf"(?<![A-Za-z0-9]){_NO_ID}()(?=(?:[A-Za-z]*\d){{2}})(?=\d*[A-Za-z])[A-Za-z\d]{{20,}}", re.ASCII),
        # A long name consists of words, none of which has sixteen letters and digits.
        (r"(?<![\w-])()(?=[\w-]*[a-z])(?=[\w-]*[A-Z])(?=[\w-]*\d)(?=[\w-]*[A-Za-z\d]{16})[\w-]{32,}", re.ASCII),
    )
)

# A `?` that was sent as `%3F` is part of the path, but what follows it was meant to be the query.
_QUERY = re.compile(r"(?<=\?).+", re.DOTALL)

MOST_CODED = 3
"""How many times a text is percent-decoded before the search: a client, a proxy and a script may each encode it."""


def masked(text: str) -> str:
    """The text with `***` in place of what looks like a credential, whole or cut, percent-encoded or not."""
    plain = text
    for _ in range(MOST_CODED):
        if "%" not in plain:
            break
        plain = unquote(plain)
    hidden = _masked(plain)
    # A text without a secret stays as it was written.
    return text if hidden == plain else hidden


def masked_path(text: str) -> str:
    """A path, or a part of one, as `masked` returns it, and without what was meant to be its query."""
    return _QUERY.sub(MASK, masked(text))


def _masked(text: str) -> str:
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return text
