"""What a request is for (RFC 9112, 3.2): a path and a query, on the host that Host names."""

from __future__ import annotations

import re
from collections.abc import Sequence

Field = tuple[bytes, bytes]

# What stands before the host, a name and a password, means nothing here (RFC 9110, 4.2.4).
_ABSOLUTE = re.compile(rb"[a-z][a-z0-9+.-]*://(?:[^/?#]*@)?([^/?#@]+)([^#]*)", re.IGNORECASE)


def origin_form(target: bytes, headers: Sequence[Field]) -> tuple[bytes, Sequence[Field]]:
    """The target and the headers, where it was in absolute form as if it had been in origin form.

    What such a target says of the host counts, and Host does not (RFC 9112, 3.2.2).
    """
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        return target, headers
    authority, rest = absolute.groups()
    return rest if rest.startswith(b"/") else b"/" + rest, [
        (name, authority if name == b"host" else value) for name, value in headers
    ]
