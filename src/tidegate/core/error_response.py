"""An error as HTTP: status, headers and JSON body, in the shape of OpenAI's errors."""

from __future__ import annotations

import math
from typing import NamedTuple

import msgspec

from tidegate.errors import MethodNotAllowed, TidegateError, UpgradeRequired

LONGEST_RETRY_SECONDS = 86400
"""The longest `retry-after` that is sent, a day, whatever an upstream asks for."""


class ErrorResponse(NamedTuple):
    """The response to a request that failed. `headers` lacks only `x-request-id`, which every response gets."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def error_response(error: TidegateError, request_id: str | None) -> ErrorResponse:
    """The response for an error. It has `no-store`, since 404, 405 and 410 may be cached by default (RFC 9111)."""
    body = msgspec.json.encode(error.body(request_id))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    ]
    if (seconds := _retry_after(error)) is not None:
        headers.append((b"retry-after", b"%d" % math.ceil(seconds)))
        headers.append((b"retry-after-ms", b"%d" % math.ceil(seconds * 1000)))
    if not error.retryable:
        # Without it OpenAI's SDKs repeat every 409 and 5xx: a cancelled answer would be generated, and paid, again.
        headers.append((b"x-should-retry", b"false"))
    elif error.retry_told:
        headers.append((b"x-should-retry", b"true"))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", error.allow.encode("ascii")))
    if isinstance(error, UpgradeRequired):
        # RFC 9110, 15.5.22, and RFC 6455, 4.4.
        headers += [(b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")]
    if error.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    return ErrorResponse(error.status, headers, body)


def _retry_after(error: TidegateError) -> float | None:
    """Seconds until a retry, or None; 429 and 503 always have some."""
    if error.retry_after is None:
        return 1 if error.status in (429, 503) else None
    return min(max(error.retry_after, 0), LONGEST_RETRY_SECONDS)
