"""The request id, which ties a client's report to the lines of the log."""

from __future__ import annotations

import re
from contextvars import ContextVar

current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)
"""Set while a request is served; tasks that the request starts inherit it."""

_SENT = re.compile(rb"[A-Za-z0-9._-]{1,128}")


def sent_request_id(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The client's own `x-request-id` if it is valid, else None. Header names are in lower case, as in ASGI."""
    for name, value in headers:
        if name == b"x-request-id":
            return value.decode("ascii") if _SENT.fullmatch(value) else None
    return None


def make_request_id(entropy: bytes) -> str:
    """`req_` and the hexadecimal digits of `entropy`: 16 random bytes."""
    return "req_" + entropy.hex()
