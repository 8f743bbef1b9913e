"""Secrets where they do not belong: in a path, or as a stream's id."""

from __future__ import annotations

import re

# Half of one is a secret, too; a topic may be called share_feed.
_TOKEN = re.compile(r"(share_|lease_)[0-9a-f]{16,}", re.IGNORECASE)

# A `?` that was sent as `%3F` is part of the path: what follows it was meant to be the query.
_QUERY = re.compile(r"(?<=\?).+", re.DOTALL)


def masked(text: str) -> str:
    """The text with `share_***` and `lease_***` in place of tokens, whole ones and cut ones."""
    return _TOKEN.sub(lambda found: found[1].lower() + "***", text)


def masked_path(text: str) -> str:
    """The same of a path, or of a part of one, without what was meant to be its query."""
    return _QUERY.sub("***", masked(text))
