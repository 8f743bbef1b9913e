"""What a socket follows, from the call that asks for it on."""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from tidegate.core.batching import BatchPolicy
from tidegate.core.events import Delta, Started
from tidegate.core.principal import Principal
from tidegate.delivery.attachment import Key
from tidegate.delivery.broadcast import Broadcasts
from tidegate.dialects.native_socket import CODECS
from tidegate.dialects.native_socket_events import SocketDialects
from tidegate.observe.metrics.appends import Appends
from tidegate.observe.metrics.deliveries import Deliveries
from tidegate.observe.metrics.meter import Meter
from tidegate.routes.socket_follows import Follows
from tidegate.routes.socket_rights import FOUND
from tidegate.serving.registry import Registry
from tidegate.serving.ws_wire import SocketWire
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Fence, StreamRecord
from tidegate.streams.reader import Reader

pytestmark = pytest.mark.anyio

KEY: Key = ("stream", "gen_1")
ANNA = Principal("anna", frozenset({"read"}), "anna")


class Transport:
    """A connection that keeps what it is given."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def is_closing(self) -> bool:
        return False

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.written.append(data)


class Desk:
    """A session of somebody who has asked to follow a stream."""

    def __init__(self) -> None:
        registry = Registry(send_away=lambda reader, reason: None, now=lambda: 0.0, random_bits=lambda bits: 1)
        self.transport = Transport()
        self.caller = ANNA
        self.codec = CODECS["tidegate.v1"]
        self.wire = SocketWire(self.transport, self.transport)  # type: ignore[arg-type]
        self.connection = registry.open(transport="websocket", address="127.0.0.1")
        self.context = SimpleNamespace(
            service=SimpleNamespace(draining=False),
            socket_dialects=SocketDialects(),
            broadcasts=Broadcasts(15),
            websocket=Deliveries(Meter(), Appends(), "websocket"),
            buffer_bytes=100,
            heartbeat_seconds=15,
        )


class Followed:
    """A stream with one piece of text, and what a session makes of a reader of it."""

    def __init__(self) -> None:
        self.store = MemoryStore(max_generation_bytes=1 << 20)
        self.left: list[Reader] = []
        self.desk: Any = Desk()
        self.follows = Follows(self.desk)

    async def open(self) -> Followed:
        record = StreamRecord(id="gen_1", owner="anna", model="m", created_at=1.0)
        fence = await self.store.create(record, [Started("gen_1", "m", 1.0)])
        assert isinstance(fence, Fence)
        self.store.append([Delta("well")], fence=fence, expected=1)
        self.reader = Reader(
            self.store, "gen_1", after=None, live_from=2, batch=BatchPolicy(), on_close=self.left.append
        )
        return self

    def opened(self) -> Any:
        return self.follows.opened(KEY, self.reader, FOUND, BatchPolicy(), asked=ANNA)


async def test_nothing_is_delivered_before_the_call_is_answered() -> None:
    """Within the block the call is answered, and only then comes what has been there all the time."""
    followed = await Followed().open()
    async with followed.opened():
        assert followed.desk.transport.written == []
        assert KEY not in followed.follows
    assert b'"well"' in b"".join(followed.desk.transport.written)
    assert KEY in followed.follows
    followed.follows.let_go(KEY)
    assert (followed.left, followed.desk.connection.readers) == ([followed.reader], ())


async def test_an_answer_that_fails_closes_the_reader() -> None:
    """Whatever it was: the session may go on, and has nothing left of what was asked for."""
    followed = await Followed().open()
    with suppress(ValueError):
        async with followed.opened():
            assert followed.desk.connection.readers == (followed.reader,)
            raise ValueError("no answer")
    assert (followed.left, followed.desk.connection.readers) == ([followed.reader], ())
    assert KEY not in followed.follows
    assert followed.desk.transport.written == []
