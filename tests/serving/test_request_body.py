from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from functools import partial
from random import Random
from typing import Any

import pytest
from pause_kit import pause
from starlette.types import Receive

from tidegate.core.connection import ClientDisconnected
from tidegate.errors import BodyTooLarge, InvalidRequest, RequestTimeout, UnsupportedMediaType
from tidegate.serving.fair_turns import in_turns
from tidegate.serving.request_body import ALWAYS_BYTES, receive_body

pytestmark = pytest.mark.anyio

JSON = (b"content-type", b"application/json")
LIMIT = 1000

zipped = partial(gzip.compress, mtime=0)


class Client:
    """Sends its pieces, then, if it is to, stalls or leaves."""

    def __init__(self, *pieces: bytes, then: str = "end") -> None:
        self.pieces = list(pieces)
        self.then = then
        self.asked = 0

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        if self.pieces:
            body = self.pieces.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(self.pieces) or self.then != "end"}
        if self.then == "stall":
            await asyncio.Event().wait()
        if self.then == "leave":
            return {"type": "http.disconnect"}
        return {"type": "http.request"}


async def read(client: Client, *headers: tuple[bytes, bytes], seconds: float = 10.0) -> bytes:
    return await unzipped({"headers": list(headers)}, client.receive, LIMIT, seconds)


async def unzipped(scope: dict[str, Any], receive: Receive, most: int, seconds: float) -> bytes:
    packed = await receive_body(scope, receive, max_bytes=most, timeout_seconds=seconds)
    return await in_turns(packed.unpacked(), "caller")


async def test_pieces() -> None:
    """A body is read whole, in however many pieces it comes."""
    assert await read(Client(b'{"a"', b"", b":1}"), JSON) == b'{"a":1}'


async def test_none() -> None:
    """A request without a body needs no content-type: cancelling takes none."""
    assert await read(Client()) == b""
    assert (
        await read(Client(b""), (b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", b"0"))
        == b""
    )


@pytest.mark.parametrize(
    "media_type",
    [
        b"application/json; charset=utf-8",
        b'APPLICATION/JSON;charset="UTF-8"',
        b"application/json;x=y",
        b"application/json",
    ],
)
async def test_json(media_type: bytes) -> None:
    """JSON in UTF-8 is taken, however it is spelt."""
    assert await read(Client(b"{}"), (b"content-type", media_type)) == b"{}"


@pytest.mark.parametrize(
    "media_type",
    [b"text/plain", b"", b"application/json; charset=utf-16", b"application/jsonp",
     b"application/x-www-form-urlencoded", b"text/plain; application/json"],
)  # fmt: skip
@pytest.mark.parametrize("length", [[(b"content-length", b"2")], [(b"transfer-encoding", b"chunked")]])
async def test_not_json(media_type: bytes, length: list[tuple[bytes, bytes]]) -> None:
    """Another type is refused before anything is read."""
    client = Client(b"{}")
    with pytest.raises(UnsupportedMediaType, match="content-type"):
        await read(client, (b"content-type", media_type), *length)
    assert client.asked == 0


async def test_missing_type() -> None:
    """A body that nobody announced needs its type all the same."""
    with pytest.raises(UnsupportedMediaType):
        await read(Client(b"{}"))


async def test_limit() -> None:
    """The limit is the last size that is taken."""
    assert len(await read(Client(b"x" * LIMIT), JSON, (b"content-length", b"%d" % LIMIT))) == LIMIT


async def test_announced_too_large() -> None:
    """What is announced too large is refused before anything is read."""
    client = Client(b"x")
    with pytest.raises(BodyTooLarge):
        await read(client, JSON, (b"content-length", b"%d" % (LIMIT + 1)))
    assert client.asked == 0


async def test_too_large() -> None:
    """What turns out too large is refused at once, not when it has all been read."""
    client = Client(*[b"x" * (LIMIT // 2)] * 10)
    with pytest.raises(BodyTooLarge):
        await read(client, JSON)
    assert client.asked == 3


@pytest.mark.parametrize("length", [b"x", b"-1", b"1_0", b"9" * 5000, b"1, 1"])
async def test_bad_length(length: bytes) -> None:
    """A content-length that is no number is refused, whatever the server let pass."""
    with pytest.raises(InvalidRequest, match="content-length"):
        await read(Client(b"x"), JSON, (b"content-length", length))


@pytest.mark.parametrize(
    ("coding", "encoded"),
    [
        (b"identity", b'{"a":1}'),
        (b"gzip", zipped(b'{"a":1}')),
        (b"X-GZIP", zipped(b'{"a":1}')),
        (b"deflate", zlib.compress(b'{"a":1}')),
    ],
)
async def test_compressed(coding: bytes, encoded: bytes) -> None:
    """A compressed body is read like any other."""
    assert await read(Client(encoded[:3], encoded[3:]), JSON, (b"content-encoding", coding)) == b'{"a":1}'


@pytest.mark.parametrize("bomb", [zipped(b"0" * 10_000_000, 9)[:900], zipped(b"x" * (LIMIT + 1))])
async def test_bomb(bomb: bytes) -> None:
    """What unpacks to more than the limit is refused, and not unpacked further than that."""
    with pytest.raises(BodyTooLarge):
        await read(Client(bomb), JSON, (b"content-encoding", b"gzip"))


@pytest.mark.parametrize(
    "encoded",
    [b"{}", zipped(b"{}")[:-1], zipped(b"{}") + b"x", zipped(b"") * 2],
)
async def test_broken_compression(encoded: bytes) -> None:
    """What is not exactly one compressed body is refused."""
    with pytest.raises(InvalidRequest, match="gzip"):
        await read(Client(encoded), JSON, (b"content-encoding", b"gzip"))


@pytest.mark.parametrize("coding", [[b"br"], [b"gzip, gzip"], [b"gzip", b"gzip"]])
async def test_unknown_coding(coding: list[bytes]) -> None:
    """Other codings, and several at once, are refused."""
    with pytest.raises(UnsupportedMediaType, match="content-encoding"):
        await read(Client(b"x"), JSON, *[(b"content-encoding", each) for each in coding])


async def test_timeout() -> None:
    """A body that does not arrive is not waited for."""
    with pytest.raises(RequestTimeout, match=r"0\.05 seconds"):
        await read(Client(b"{", then="stall"), JSON, seconds=0.05)


async def test_client_leaves() -> None:
    """A client that leaves in the middle has sent nothing."""
    with pytest.raises(ClientDisconnected):
        await read(Client(b"{", then="leave"), JSON)


async def test_a_pause_of_the_server_is_not_the_clients_fault() -> None:
    """What has arrived while the process was stopped counts as in time."""
    ours, its = socket.socketpair()
    arrived = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await arrived.wait()
        return {"type": "http.request", "body": ours.recv(10), "more_body": False}

    async def read_on() -> bytes:
        return await unzipped({"headers": [JSON]}, receive, LIMIT, 0.1)

    with ours, its:
        asyncio.get_running_loop().add_reader(ours, arrived.set)
        reading = asyncio.create_task(read_on())
        await asyncio.sleep(0)
        its.send(b"1")
        pause(0.5)
        assert await reading == b"1"
        asyncio.get_running_loop().remove_reader(ours)


LARGE = 16 * 1024 * 1024


async def read_large(body: bytes) -> bytes:
    headers = [JSON, (b"content-encoding", b"gzip")]
    return await unzipped({"headers": headers}, Client(body).receive, LARGE, 5)


async def test_what_was_sent_bounds_what_comes_of_it() -> None:
    """A bomb is refused for what it is; the same JSON over and over, and what is small, are none."""
    repetitive = b"".join(b'{"role": "user", "content": "%d"},' % number for number in range(100_000))
    for honest in (repetitive, b"0" * ALWAYS_BYTES):
        assert await read_large(zipped(honest)) == honest
    assert len(repetitive) > 5 * len(zipped(repetitive))
    with pytest.raises(BodyTooLarge, match="100 times"):
        await read_large(zipped(b"0" * LARGE))


async def test_a_body_is_decompressed_a_little_at_a_time() -> None:
    """Others have their turns in between."""
    body = zipped(Random(0).randbytes(12_000_000), 1)
    reading, turns = asyncio.ensure_future(read_large(body)), 0
    while not reading.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 1
