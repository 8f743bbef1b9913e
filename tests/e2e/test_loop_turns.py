"""No request holds the loop: its longest turn while nasty bodies are received, counted, read and kept."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.client import HTTPConnection
from random import Random
from urllib.parse import urlsplit

import pytest

from tidegate import Tidegate
from tidegate.config import LimitSettings, Settings, StoreSettings
from tidegate.core.steps import Steps
from tidegate.dialects.native_socket import CODECS, Codec, parse, request
from tidegate.errors import MalformedMessage
from tidegate.providers.settings import ReplayModel
from tidegate.routes.table import ROUTES
from tidegate.testing.server import serving

MOST_SECONDS = 0.1
"""Of work in one turn: twice what is promised, for machines that are slow."""

SIZE = 16 * 1024 * 1024 - 1000
"""Of a body, with a little room for what stands around."""


class MeasuredLoop(asyncio.SelectorEventLoop):
    """Knows its longest turn, in seconds that its thread has worked: what else runs on the machine does not count."""

    longest = 0.0

    def _run_once(self) -> None:
        began = time.thread_time()
        super()._run_once()  # type: ignore[misc]
        self.longest = max(self.longest, time.thread_time() - began)


class Server:
    """A server on a thread of its own."""

    def __init__(self) -> None:
        self.loop = MeasuredLoop()
        self.url = ""
        self._over = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self.loop.run_until_complete, args=[self._serve()])

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self.loop.close()

    async def _serve(self) -> None:
        settings = Settings(
            store=StoreSettings(url="memory://"),
            models=(ReplayModel(name="replay", tokens=1, rate=0),),
            limits=LimitSettings(requests_per_minute=0, tokens_per_minute=10**9),
        )
        app = Tidegate(settings)
        async with serving(app) as self.url:
            self._ready.set()
            await self._over.wait()
            await app.close()

    def post(self, path: str, body: bytes, **headers: str) -> int:
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        connection.request("POST", path, body, {"content-type": "application/json", **headers})
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.status


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    server.start()
    yield server
    server.stop()


def filled(piece: bytes) -> bytes:
    return piece * (SIZE // len(piece))


def prose() -> bytes:
    return filled(b"The quick brown fox jumps over the lazy dog. ")


CREATE = b'{"model":"replay","background":true,%b}'
CHAT = b'{"model":"replay","messages":[{"role":"user","content":%b}],%b}'
APPEND = b'{"lease":"x","expected_offset":1,"events":%b}'
DELTA = b'[{"type":"delta","data":{"text":"%b"}}]'
# Functions, since each body is large: pytest reads this file in all of its processes.
BODIES: dict[str, tuple[str, Callable[[], bytes], int]] = {
    "prose": ("/v1/streams", lambda: CREATE % (b'"prompt":"%b"' % prose()), 202),
    "prose for OpenAI": ("/v1/chat/completions", lambda: CHAT % (b'"%b"' % prose(), b'"a":1'), 200),
    "an emoji at the end": (
        "/v1/streams",
        lambda: CREATE % (b'"prompt":"%b\xf0\x9f\x98\x80"' % filled(b"a")[:-8]),
        202,
    ),
    "line breaks": ("/v1/streams", lambda: CREATE % (b'"prompt":"%b"' % filled(rb"\n")), 202),
    "Chinese in escapes": ("/v1/chat/completions", lambda: CHAT % (b'"%b"' % filled(rb"\u4e2d"), b'"a":1'), 200),
    "half a pair at the end": (
        "/v1/streams",
        lambda: CREATE % (b'"prompt":"%b"' % (filled(rb"\ud83d\ude00") + rb"\ud83d")),
        400,
    ),
    "a long name": ("/v1/streams", lambda: b'{"model":"%b","prompt":"x"}' % filled(rb"\n"), 400),
    "a million empty lists as a schema": (
        "/v1/chat/completions",
        lambda: CHAT % (b'"x"', b'"response_format":[%b[]]' % (b"[]," * 900_000)),
        200,
    ),
    "more than a million": (
        "/v1/streams",
        lambda: CREATE % (b'"prompt":"x","extra":{"a":[%b[]]}' % filled(b"[],")),
        400,
    ),
    "members without end": ("/v1/chat/completions", lambda: b'{%b"model":"replay"}' % filled(b'"a":1,'), 400),
    "messages without end": ("/v1/streams", lambda: CREATE % (b'"messages":[%b{}]' % filled(b'{"role":"user"},')), 400),
    "towers": (
        "/v1/chat/completions",
        lambda: CHAT % (b'"x"', b'"y":[%b0]' % filled(b"[" * 90 + b"]" * 90 + b",")),
        400,
    ),
    "a pit": ("/v1/streams", lambda: b"[" * SIZE, 400),
    "white space": ("/v1/streams", lambda: CREATE % (b'"prompt":"x"%b' % filled(b" ")), 202),
    "appended lists": ("/v1/streams/x/append", lambda: APPEND % (b"[%b[]]" % filled(b"[],")), 400),
    "an appended text": ("/v1/streams/x/append", lambda: APPEND % (DELTA % filled(rb"\n")), 400),
    "a published text": ("/v1/topics/t/messages", lambda: b'{"data":"%b"}' % filled(rb"\n"), 413),
    "published lists": ("/v1/topics/t/messages", lambda: b'{"data":[%b[]]}' % filled(b"[],"), 400),
    "a reason": ("/v1/streams/x/cancel", lambda: b'{"reason":"%b"}' % filled(rb"\n"), 413),
    "a share": ("/v1/streams/x/share", lambda: b'{"ttl_seconds":%b}' % filled(b"1"), 413),
    "a long probe": ("/v1/probe", lambda: b"{}%b" % filled(b" ")[:-2], 200),
    "a probe of members": ("/v1/probe", lambda: b'{%b"drop":"x"}' % filled(b'"a":1,')[:-20], 400),
    "a token": ("/v1/session", lambda: b'{"token":"%b"}' % filled(rb"\n"), 413),
}


@pytest.mark.parametrize("name", BODIES)
def test_no_body_holds_the_loop(server: Server, name: str) -> None:
    """Whatever 16 MB it has, the loop has its next turn soon; what is honest is taken."""
    path, make, status = BODIES[name]
    body = make()
    server.loop.longest = 0.0
    assert server.post(path, body, **{"idempotency-key": name.replace(" ", "-")}) == status
    assert server.loop.longest < MOST_SECONDS


def test_every_route_with_a_body_is_tried() -> None:
    """A route that takes a body has its nasty ones here."""
    taken = {route.path.replace("{id}", "x").replace("{name}", "t") for route in ROUTES if route.bodies}
    assert taken == {path for path, _, _ in BODIES.values()}


@pytest.mark.parametrize("ratio", [10, 1000])
def test_no_compressed_body_holds_the_loop(server: Server, ratio: int) -> None:
    """Prose that was compressed is taken; a bomb is not."""
    words = [b"%x " % word for word in Random(0).choices(range(2**14), k=20_000)]
    text = b"".join(Random(1).choices(words, k=SIZE // 6)) if ratio == 10 else filled(b"a")
    body = gzip.compress(CREATE % (b'"prompt":"%b"' % text), 1)
    server.loop.longest = 0.0
    assert server.post("/v1/streams", body, **{"content-encoding": "gzip"}) == (202 if ratio == 10 else 413)
    assert server.loop.longest < MOST_SECONDS


MESSAGES = {
    "too dense": {"id": 1, "op": "publish", "topic": "a", "data": [0] * 400_000},
    "values": {"id": 1, "op": "publish", "topic": "a", "data": [{"a": 0.5}] * 16_000},
    "a create": {"id": 1, "op": "create", "model": "a", "messages": [{"role": "user", "content": "x" * 60}] * 9_000},
    "a text": {"id": 1, "op": "publish", "topic": "a", "data": "\n" * 500_000},
}


@pytest.mark.parametrize("what", MESSAGES)
@pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS)
def test_no_message_of_a_socket_holds_the_loop(codec: Codec, what: str) -> None:
    """What a message may be, a megabyte, is dealt with a little at a time; of too many values nothing is made."""
    longest, steps, goes_on = 0.0, understood(codec, codec.encode(MESSAGES[what])), True
    while goes_on:
        began = time.thread_time()
        goes_on = next(steps, "done") != "done"
        longest = max(longest, time.thread_time() - began)
    assert longest < MOST_SECONDS


def understood(codec: Codec, message: bytes) -> Steps[None]:
    with suppress(MalformedMessage):
        _, op, content = yield from parse(codec, message)
        yield from request(codec, op, content)
