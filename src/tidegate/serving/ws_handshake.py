"""The opening handshake of a WebSocket (RFC 6455, 4.2), between our HTTP and the core of `websockets`."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from websockets.datastructures import Headers
from websockets.exceptions import InvalidHeader
from websockets.http11 import Request, Response

from tidegate.core.error_response import error_response
from tidegate.errors import InvalidRequest, TidegateError, UpgradeRequired
from tidegate.serving.upgrade import WEBSOCKET, Field


def request_of(target: bytes, headers: Iterable[Field]) -> Request:
    """The request in the form of the sans-I/O core, which expects `websocket` alone in `upgrade`.

    The core's own limits on heads do not apply; ours replace them.
    """
    others = [field for field in headers if field[0] != b"upgrade"]
    return Request(target.decode("ascii"), _fields([*others, (b"upgrade", WEBSOCKET)]))


def refusal_of(cause: Exception) -> TidegateError:
    """The answer to a handshake that the core has refused."""
    if isinstance(cause, InvalidHeader) and cause.name == "Sec-WebSocket-Version":
        return UpgradeRequired("This server speaks version 13 of the WebSocket protocol (RFC 6455) and no other.")
    return InvalidRequest(f"This is no valid WebSocket handshake: {cause}.")


def answer_of(error: TidegateError, request_id: str, default_headers: list[Field]) -> Response:
    """The answer to a valid handshake that is refused."""
    status, headers, body = error_response(error, request_id)
    headers = [*default_headers, *headers, (b"x-request-id", request_id.encode()), (b"connection", b"close")]
    return Response(status, HTTPStatus(status).phrase, _fields(headers), body)


def _fields(headers: Iterable[Field]) -> Headers:
    return Headers([(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers])
