"""Which requests are handshakes, over real sockets."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from protocol_kit import listening

from tidegate.serving.http_protocol import http_protocol
from tidegate.serving.ws_protocol import ws_protocol

pytestmark = pytest.mark.anyio

PATH = b"/v1/ws"


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Accepts WebSockets; answers requests with their path and how they were made."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept", "headers": [(b"x-path", scope["path"].encode())]})
        await receive()
        return
    body = scope["path"].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def head_of(target: bytes, *fields: bytes, method: bytes = b"GET") -> bytes:
    """The head of the answer to a handshake, which these fields complete."""
    fixed = (b"Host: localhost", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", b"Sec-WebSocket-Version: 13")
    protocol = http_protocol(4000, 10, socket_path=PATH.decode())
    async with listening(app, protocol, ws=ws_protocol()) as (port, _), asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\r\n".join([b"%s %s HTTP/1.1" % (method, target), *fixed, *fields, b"", b""]))
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        return head


@pytest.mark.parametrize("connection", [b"Upgrade", b"keep-alive, Upgrade", b"upgrade , keep-alive", b"\tUPGRADE \t"])
@pytest.mark.parametrize(
    "upgrade", [b"websocket", b"WebSocket", b"websocket, foo", b"foo/2, websocket \t", b",websocket"]
)
async def test_an_upgrade_may_be_one_of_several(connection: bytes, upgrade: bytes) -> None:
    """Lists, in any case and with white space around (RFC 9110, 7.8 and 5.6.1)."""
    head = await head_of(PATH, b"Connection: " + connection, b"Upgrade: " + upgrade)
    assert head.startswith(b"HTTP/1.1 101 ")


async def test_an_upgrade_may_stand_in_several_fields() -> None:
    """They are one list (RFC 9110, 5.2)."""
    head = await head_of(PATH, b"Connection: Upgrade", b"Upgrade: foo", b"Upgrade: websocket")
    assert head.startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("target", [b"http://localhost/v1/ws", b"ws://localhost:1/v1/ws?a=b", b"/v1/%77s"])
async def test_a_handshake_may_name_its_path_in_any_form(target: bytes) -> None:
    """In absolute form, too (RFC 9112, 3.2.2)."""
    head = await head_of(target, b"Connection: Upgrade", b"Upgrade: websocket")
    assert head.startswith(b"HTTP/1.1 101 ")
    assert b"x-path: /v1/ws\r\n" in head


@pytest.mark.parametrize("target", [b"/v1/streams/gen_1/events", b"http://localhost/", b"/v1/ws/", b"/?/v1/ws"])
async def test_where_no_websocket_stands_an_upgrade_is_not_heard(target: bytes) -> None:
    """The request is answered as if none had been asked for (RFC 9110, 7.8)."""
    head = await head_of(target, b"Connection: Upgrade", b"Upgrade: websocket")
    assert head.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("upgrade", [b"websocket2", b"h2c", b"", b"foo, bar", b"web, socket"])
async def test_other_protocols_are_none_of_ours(upgrade: bytes) -> None:
    """They go on in HTTP."""
    head = await head_of(PATH, b"Connection: Upgrade", b"Upgrade: " + upgrade)
    assert head.startswith(b"HTTP/1.1 200 ")
