"""Answers to clients that know no chunks, over real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio


async def pieces(scope: Any, receive: Any, send: Any) -> None:
    """A body of unknown length; of a known one at `/whole`, of a chunked one by its own account at `/chunked`."""
    headers = {"/whole": [(b"content-length", b"4")], "/chunked": [(b"transfer-encoding", b"chunked")]}
    await send({"type": "http.response.start", "status": 200, "headers": headers.get(scope["path"], [])})
    await send({"type": "http.response.body", "body": b"ab", "more_body": True})
    await send({"type": "http.response.body", "body": b"cd"})


async def asked(app: Any, request: bytes) -> tuple[bytes, bytes]:
    """Head and body of all that comes until the server closes."""
    async with serving(app) as url, asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(request)
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        return head.lower(), body


@pytest.mark.parametrize("path", [b"/", b"/whole", b"/chunked"])
@pytest.mark.parametrize("more", [b"", b"Connection: keep-alive\r\n", b"TE: chunked\r\n"])
async def test_a_client_of_http_1_0_is_sent_no_chunks(path: bytes, more: bytes) -> None:
    """The body is as it is, and ends with the connection, whatever the client would like (RFC 9112, 6.1)."""
    head, body = await asked(pieces, b"GET %b HTTP/1.0\r\n%b\r\n" % (path, more))
    assert b"transfer-encoding" not in head
    assert (b"content-length" in head) == (path == b"/whole")
    assert b"connection: close" in head
    assert body == b"abcd"


async def test_a_version_that_is_none_of_ours_is_answered_as_the_oldest() -> None:
    """Whatever it says of itself, its connection ends with the answer."""
    head, body = await asked(pieces, b"GET / HTTP/2.0\r\nConnection: keep-alive\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert body == b"abcd"


async def test_head_of_http_1_0_has_no_body() -> None:
    """And no chunks either."""
    head, body = await asked(pieces, b"HEAD / HTTP/1.0\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert body == b""


async def test_a_client_of_http_1_0_is_not_told_to_go_on() -> None:
    """It knows nothing of that (RFC 9110, 10.1.1)."""
    request = b"POST / HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nhi"

    async def reads(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await pieces(scope, receive, send)

    head, body = await asked(reads, request)
    assert head.startswith(b"http/1.1 200 ")
    assert body == b"abcd"


async def test_a_client_of_http_1_1_is_sent_chunks() -> None:
    """They tell a whole answer from one that broke off."""
    head, body = await asked(pieces, b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert b"transfer-encoding: chunked" in head
    assert body == b"2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"


async def returns(scope: Any, receive: Any, send: Any) -> None:
    """Does not answer; at `/begun` not to the end."""
    if scope["path"] == "/begun":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})


async def raises(scope: Any, receive: Any, send: Any) -> None:
    await returns(scope, receive, send)
    raise RuntimeError("a bug")


@pytest.mark.parametrize("app", [returns, raises])
async def test_what_is_not_answered_is_500_or_breaks_off(app: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The client never takes it for a whole answer, and the log has the reason."""
    request = b"GET %b HTTP/1.1\r\nhost: localhost\r\n\r\n"
    head, _ = await asked(app, request % b"/")
    assert head.startswith(b"http/1.1 500 ")
    head, body = await asked(app, request % b"/begun")
    assert head.startswith(b"http/1.1 200 ")
    assert body == b"2\r\nab\r\n"
    assert len([record for record in caplog.records if "ASGI application" in record.message]) == 2
