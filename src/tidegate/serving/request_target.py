"""The target of a request (RFC 9112, 3.2): a path and a query, on the host that the Host header names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

Field = tuple[bytes, bytes]

# A user and a password before the host are ignored (RFC 9110, 4.2.4).
_ABSOLUTE = re.compile(rb"[a-z][a-z0-9+.-]*://(?:[^/?#]*@)?([^/?#@]+)([^#]*)", re.IGNORECASE)


_ENCODED_SLASH = re.compile(rb"%2f", re.IGNORECASE)


def origin_form(target: bytes, headers: Sequence[Field], http_version: str) -> tuple[bytes, Sequence[Field]]:
    """The target and the headers; a target in absolute form is turned into origin form.

    The host of an absolute target replaces that of the Host header (RFC 9112, 3.2.2), which is added where a client
    before HTTP/1.1 sent none. In HTTP/1.1 a request without Host stays invalid.
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
    """The decoded path of a target; None where it has an encoded slash, which does not separate segments."""
    path = target.partition(b"?")[0]
    return None if _ENCODED_SLASH.search(path) else unquote(path.decode("latin-1"))
