"""Servers that answer the probe, and everything else as they like."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from doctor_kit import examined
from scripted_kit import head

from tidegate.client.doctor.answer import Answer
from tidegate.client.doctor.findings import findings
from tidegate.client.doctor.patience import Patience
from tidegate.client.doctor.report import Report
from tidegate.core.error_response import error_response
from tidegate.core.visible import UNSAFE
from tidegate.errors import StreamNotFound

pytestmark = pytest.mark.anyio

HURRIED = Patience(answer=2.0, body=2.0, event=0.3, watch=0.1, still=0.3, again=0.3, later=1, whole=20.0, farewell=0.3)
SWITCH = b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: x\r\n\r\n"
JSON = "application/json"
OPENED = {"id": "gen_1", "offset": 1, "lease": {"token": "lease_1", "seconds": 5}, "cursor": "a-1"}
OPENED_JSON = json.dumps(OPENED)


def bomb() -> bytes:
    """Ninety megabytes, packed. After a full flush nothing refers to what was before, so a piece can be repeated."""
    packer = zlib.compressobj(1, wbits=31)
    first, again = (packer.compress(b"data: x\n\n" * 100_000) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return first + again * 99


ANSWERS = {
    "nothing": b"",
    "no HTTP": b"\x00\xff\x1b[31m\r\n\r\n",
    "an endless head": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200_000,
    "a million events": head() + b"data: x\n\n" * 1_000_000,
    "one long event": head() + b"data: " + b"x" * (1 << 21),
    "a bomb": head(content_encoding="gzip") + bomb(),
    "no gzip": head(content_encoding="gzip") + b"data: x\n\n",
    "half a chunk": head(transfer_encoding="chunked") + b"ffff\r\ndata: x",
    "a false upgrade": SWITCH + b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff",
    "no JSON": head(kind=JSON) + b'{"id": 5, "offset": NaN}',
    "deep JSON": head(201, kind=JSON) + b"[" * 100_000,
    "deep JSON of a probe": head(kind=JSON) + b'{"z":' + b"[" * 100_000,
    "no UTF-8": head(kind=JSON) + b'{"http_version": "\xff"}',
    "a stream whose id is none": head(201, kind=JSON) + OPENED_JSON.replace("gen_1", "../\u00fc").encode(),
    "a stream whose id ends a line": head(201, kind=JSON) + OPENED_JSON.replace("gen_1", "x HTTP/1.1\\r\\n").encode(),
    "an error that is none": head(404, kind=JSON) + b'{"error": {"request_id": 1, "code": ["x"], "message": {}}}',
    "a stream that opens": head(201, kind=JSON) + OPENED_JSON.encode(),
    "a redirect": head(302, location="http://127.0.0.1:9/\x1b[31m"),
}


def arrived() -> bytes:
    told = {
        "http_version": "1.1",
        "scheme": "http",
        "host": "\x1b[31m",
        "headers": ["\x9b2J", "last-event-id"],
        "address": "\u202e",
        "time": time.time(),
        "body_bytes": 2,
        "max_body_bytes": 1 << 60,
        "dropped": None,
    }
    return head(kind=JSON) + json.dumps(told).encode()


@asynccontextmanager
async def stranger(answer: bytes) -> AsyncIterator[str]:
    """The URL of a server that answers the first call as tidegate does, and all others with these bytes."""
    calls = 0
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        task.add_done_callback(serving.discard)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            own = arrived() if calls == 1 else answer
            await reader.readuntil(b"\r\n\r\n")
            writer.write(own)
            await writer.drain()
            writer.write_eof()
            while await reader.read(65536):
                pass
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in tuple(serving):
            task.cancel()
        await asyncio.gather(*serving)


@pytest.mark.parametrize("name", ANSWERS)
async def test_a_stranger_does_no_harm(name: str) -> None:
    """The examination ends, with a report that any terminal can show."""
    async with stranger(ANSWERS[name]) as url:
        seen = await examined(url, patience=HURRIED)
    assert findings(seen)
    report = Report(url, seen)
    assert UNSAFE.search(report.text()) is None
    assert report.json().isascii()
    assert len(report.text()) < 20_000


def test_an_error_in_tidegates_shape_is_known() -> None:
    """By the id of the request, which no other server's errors have."""
    ours = error_response(StreamNotFound("there is none"), "req_1")
    assert Answer(ours.status, {}, ours.body).code == "stream_not_found"
    assert Answer(404, {}, b'{"error": {"code": "stream_not_found"}}').code == ""
