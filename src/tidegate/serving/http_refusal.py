"""Answers to bytes that cannot become a request, made without the application, in the same shape as its errors."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from tidegate.core.error_response import error_response
from tidegate.errors import TidegateError

Field = tuple[bytes, bytes]

log = logging.getLogger("tidegate.http")


def refusal(error: TidegateError, request_id: str, address: str, default_headers: Sequence[Field]) -> bytes:
    """The whole answer, as bytes; the connection is to be closed after it. Logs the refusal."""
    fields = {"code": error.code, "address": address, "request_id": request_id}
    log.info("%s: %s", error.code, error.message, extra={"fields": fields})
    status, headers, body = error_response(error, request_id)
    headers += [(b"x-request-id", request_id.encode()), (b"connection", b"close")]
    lines = [b"%s: %s\r\n" % field for field in [*default_headers, *headers]]
    return b"".join([STATUS_LINE[status], *lines, b"\r\n", body])


def head_without_upgrade(method: bytes, target: bytes, http_version: str, headers: Iterable[Field]) -> bytes:
    """A request's head as it came, without the `upgrade` header (RFC 9110, 7.8)."""
    lines = [b"%s %s HTTP/%s" % (method, target, http_version.encode())]
    lines += [b"%s: %s" % field for field in headers if field[0] != b"upgrade"]
    return b"\r\n".join([*lines, b"", b""])
