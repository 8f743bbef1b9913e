"""What a request is for (RFC 9112, 3.2): a path and a query, on the host that Host names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

Field = tuple[bytes, bytes]

# What stands before the host, a name and a password, means nothing here (RFC 9110, 4.2.4).
_ABSOLUTE = re.compile(rb"[a-z][a-z0-9+.-]*://(?:[^/?#]*@)?([^/?#@]+)([^#]*)", re.IGNORECASE)


_ENCODED_SLASH = re.compile(rb"%2f", re.IGNORECASE)


def origin_form(target: bytes, headers: Sequence[Field], http_version: str) -> tuple[bytes, Sequence[Field]]:
    """The target and the headers, where it was in absolute form as if it had been in origin form.

    What such a target says of the host counts, and Host does not (RFC 9112, 3.2.2). Before HTTP/1.1 there need not be
    any; in HTTP/1.1 a request without one stays wrong.
    """
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        return target, headers
    authority, rest = absolute.groups()
    others = [(name, authority if name == b"host" else value) for name, value in headers]
    if http_version != "1.1" and all(name != b"host" for name, _ in headers):
        others.append((b"host", authority))
    return rest if rest.startswith(b"/") else b"/" + rest, others


def path_of(target: bytes) -> str | None:
    """The path that a target names; None where it has a slash that is encoded, which divides nothing."""
    path = target.partition(b"?")[0]
    return None if _ENCODED_SLASH.search(path) else unquote(path.decode("latin-1"))
