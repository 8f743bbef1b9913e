"""An error as HTTP: status, headers and JSON body (api.md, section 4)."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from tidegate.errors import MethodNotAllowed, TidegateError


class ErrorResponse(NamedTuple):
    """`headers` has everything but `x-request-id`, which all responses get alike."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def error_response(error: TidegateError, request_id: str | None) -> ErrorResponse:
    """What a client is sent. `no-store` because 404, 405 and 410 may be cached where nothing is said (RFC 9111)."""
    body = msgspec.json.encode(error.body(request_id))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(error.retry_after)))
        headers.append((b"retry-after-ms", b"%d" % math.ceil(error.retry_after * 1000)))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode("ascii")))
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return ErrorResponse(error.status, headers, body)
