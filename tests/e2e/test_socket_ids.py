"""The ids of WebSocket calls: whatever JSON has for a string, a number or null comes back as it was."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from socket_kit import JSON, MSGPACK
from websockets.asyncio.client import ClientConnection, connect

from tidegate.app import Tidegate
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

IDS = ["", "a" * 10_000, "\x00\x1f\u2028", "ü🌊", 0, -1, 2**53 + 1, 2**63, -(2**63), 1.5, -0.25, 1e300, 1.0, None]
BIG = [2**64, 10**30, -(10**30), 10**300]


async def _asked(connection: ClientConnection, message: bytes, codec: Any) -> dict[str, Any]:
    await connection.send(message.decode() if codec is msgspec.json else message)
    return codec.decode(await connection.recv())


@pytest.mark.parametrize("subprotocol", [JSON, MSGPACK])
async def test_any_id_comes_back_as_it_was(subprotocol: str) -> None:
    """Call ids are any string, number or null; answers and errors have the same."""
    codec = msgspec.json if subprotocol == JSON else msgspec.msgpack
    app = Tidegate()
    async with (
        serving(app) as url,
        connect(url.replace("http", "ws") + "/v1/ws", subprotocols=[subprotocol]) as connection,  # type: ignore[list-item]
    ):
        for id in [*IDS, *(BIG if codec is msgspec.json else [])]:
            answer = await _asked(connection, codec.encode({"id": id, "op": "ping"}), codec)
            assert answer == {"id": id, "ok": {}}
            assert type(answer["id"]) is type(id)
            assert (await _asked(connection, codec.encode({"id": id, "op": "dance"}), codec))["id"] == id
        refused = await _asked(connection, codec.encode({"id": [1], "op": "ping"}), codec)
        assert (refused["id"], refused["error"]["code"]) == (None, "malformed_message")
    await app.close()


@pytest.mark.parametrize(
    "id", [b'"\\ud83d"', b"1e400", b"NaN", b"true", b"{}"], ids=["half", "huge", "nan", "true", "object"]
)
async def test_what_is_no_id(id: bytes) -> None:
    """What JSON cannot say, and what is neither a string nor a number nor null, is a malformed message."""
    app = Tidegate()
    async with serving(app) as url, connect(url.replace("http", "ws") + "/v1/ws") as connection:
        answer = await _asked(connection, b'{"id": %b, "op": "ping"}' % id, msgspec.json)
        assert (answer["id"], answer["error"]["code"]) == (None, "malformed_message")
        assert ("lone surrogate" in answer["error"]["message"]) is (b"ud83d" in id)
    await app.close()


NAN, INFINITY = b"\xcb\x7f\xf8" + bytes(6), b"\xcb\x7f\xf0" + bytes(6)


@pytest.mark.parametrize("id", [NAN, INFINITY, b"\xd6\xff\0\0\0\1", b"\xd4\5\0", b"\xc4\1x", b"\xa1\xff"])
async def test_what_is_no_id_in_messagepack(id: bytes) -> None:
    """NaN and infinity, times, extensions, binary data and bad UTF-8 are no ids."""
    app = Tidegate()
    async with (
        serving(app) as url,
        connect(url.replace("http", "ws") + "/v1/ws", subprotocols=[MSGPACK]) as connection,  # type: ignore[list-item]
    ):
        answer = await _asked(connection, b"\x82\xa2id" + id + b"\xa2op\xa4ping", msgspec.msgpack)
        assert (answer["id"], answer["error"]["code"]) == (None, "malformed_message")
    await app.close()
