"""One stream in a real store, and readers of it on connections that keep what they are given."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

from tidegate.core.batching import BatchPolicy
from tidegate.core.cursor import Cursor
from tidegate.core.events import Event, Started
from tidegate.core.log import Entry, Page
from tidegate.delivery.broadcast import Broadcast, Broadcasts
from tidegate.delivery.direct_delivery import Delivery
from tidegate.dialects.base import Dialect
from tidegate.dialects.native_events import EVENTS
from tidegate.observe.metrics.appends import Appends
from tidegate.observe.metrics.deliveries import Deliveries
from tidegate.observe.metrics.meter import Meter
from tidegate.serving.wire import Wire
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Fence, Found, StreamRecord
from tidegate.streams.reader import Reader

EACH = BatchPolicy()


def unread() -> Deliveries:
    """Measures for nobody."""
    return Deliveries(Meter(), Appends(), "sse")


class Transport:
    """A connection that keeps what it is given, and refuses it once it closes, as uvloop's does."""

    def __init__(self) -> None:
        self.closing = False
        self.written: list[bytes] = []
        self.beaten = asyncio.Event()

    def is_closing(self) -> bool:
        return self.closing

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def write(self, data: bytes) -> None:
        if self.closing:
            raise RuntimeError("unable to perform operation; the handler is closed")
        self.written.append(data)
        if b": heartbeat" in data:
            self.beaten.set()

    @property
    def text(self) -> str:
        return b"".join(self.written).decode()

    @property
    def body(self) -> bytes:
        """What was written, without the marks of its chunks."""
        return b"".join(unchunked(self.written))


class Slow(MemoryStore):
    """Looks at once and answers later, as a store over a network does."""

    def read(self, stream: str, after: Cursor | None, *, limit: int, max_bytes: int) -> Future[Found]:  # type: ignore[override]
        found = super().read(stream, after, limit=limit, max_bytes=max_bytes)
        answer: Future[Found] = asyncio.get_running_loop().create_future()
        after_turns(3, lambda: answer.set_result(found))
        return answer


def after_turns(count: int, call: Callable[[], None]) -> None:
    """Calls it after so many turns of the loop."""
    if count:
        asyncio.get_running_loop().call_soon(after_turns, count - 1, call)
    else:
        call()


class Room:
    """One stream in a real store, and its readers in one dialect."""

    def __init__(self, dialect: Dialect[Any] = EVENTS, *, heartbeat_seconds: float = 15) -> None:
        self.dialect = dialect
        self.store = MemoryStore(max_generation_bytes=1 << 20)
        self.broadcasts = Broadcasts(heartbeat_seconds)
        self.heartbeat_seconds = heartbeat_seconds
        self.meter = Meter()
        self.appends = Appends()
        self.deliveries = Deliveries(self.meter, self.appends, "sse")
        self.tail = 1
        self.left: list[Reader] = []

    async def open(self) -> Room:
        record = StreamRecord(id="gen_1", owner="anna", model="m", created_at=1.0)
        fence = await self.store.create(record, [Started("gen_1", "m", 1.0)])
        assert isinstance(fence, Fence)
        self.fence = fence
        return self

    def append(self, *events: Event) -> None:
        answer = self.store.append(events, fence=self.fence, expected=self.tail)
        assert isinstance(answer, int)
        self.tail = answer

    @property
    def broadcast(self) -> Broadcast:
        return self.broadcasts.of("gen_1", self.dialect, self.deliveries, compressed=False)

    def reader(self, batch: BatchPolicy = EACH, *, after: Cursor | None = None) -> Reader:
        return Reader(self.store, "gen_1", after=after, live_from=1, batch=batch, on_close=self.left.append)

    def log(self) -> Sequence[Entry]:
        found = MemoryStore.read(self.store, "gen_1", None, limit=1 << 20, max_bytes=1 << 30)
        assert isinstance(found, Page)
        return found.entries

    async def pages(self) -> AsyncGenerator[Sequence[Entry]]:
        yield self.log()

    def attach(self, reader: Reader | None = None, state: Any = None) -> tuple[Delivery, Transport]:
        transport = Transport()
        delivery = Delivery(
            Wire(transport),  # type: ignore[arg-type]
            reader or self.reader(),
            self.dialect,
            self.dialect.begin() if state is None else state,
            None,
            self.broadcast,
            limit=100,
            heartbeat_seconds=self.heartbeat_seconds,
            meter=self.deliveries,
        )
        delivery.begin(b"hello")
        return delivery, transport

    @property
    def watchers(self) -> int:
        return len(self.store._streams["gen_1"].watchers)


def unchunked(chunks: list[bytes]) -> list[bytes]:
    return [chunk[chunk.index(b"\r\n") + 2 : -2] for chunk in chunks]
