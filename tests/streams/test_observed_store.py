from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from engine_kit import Engine, Scripted

from tidegate.core.events import Completed, Delta, Event, GenerationRequest, Started, Usage
from tidegate.errors import OffsetMismatch, StoreUnavailable, StreamNotFound
from tidegate.observe.base import StoreCall
from tidegate.observe.metrics.appends import Appends
from tidegate.observe.metrics.meter import Meter
from tidegate.providers.base import Sink
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Claimed, Fence, StreamRecord
from tidegate.streams.observed_store import ObservedStore

pytestmark = pytest.mark.anyio

RECORD = StreamRecord(id="gen_1", owner="anna", model="m", created_at=1.0)
BEGIN = [Started("gen_1", "m", 1.0)]
END = Completed("stop", Usage(0, 1, 1))


class Later(MemoryStore):
    """A store that answers appends by futures."""

    def __init__(self) -> None:
        super().__init__(max_generation_bytes=1 << 20)
        self.answers: list[Future[int]] = []

    def append(self, events: Sequence[Event], *, fence: Fence, expected: int) -> Future[int]:  # type: ignore[override]
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]


class Slow(MemoryStore):
    """Each of its calls takes a quarter of a second."""

    def __init__(self) -> None:
        super().__init__(max_generation_bytes=1 << 20)
        self.seconds = 0.0

    async def create(self, *given: Any, **more: Any) -> Fence | Claimed:
        self.seconds += 0.25
        return await super().create(*given, **more)

    def append(self, *given: Any, **more: Any) -> int:
        self.seconds += 0.25
        return super().append(*given, **more)


class Observed:
    """What an observer is told of a store's calls, and what the meter counts."""

    def __init__(self, store: MemoryStore, clock: Callable[[], float] = lambda: 0.0) -> None:
        self.told: list[StoreCall] = []
        self.meter = Meter()
        self.store = ObservedStore(store, self.meter, Appends(clock), self.told.append)

    @property
    def appended(self) -> int:
        """How many appends the meter has."""
        return sum(self.meter.histogram("tidegate_store_append_seconds", "memory").counts)


async def test_a_call_is_told_with_its_duration() -> None:
    """Once it is over: what a store answers at once, and what is waited for."""
    slow = Slow()
    observed = Observed(slow, lambda: slow.seconds)
    fence = await observed.store.create(RECORD, BEGIN)
    assert isinstance(fence, Fence)
    assert observed.store.append([Delta("a")], fence=fence, expected=1) == 2
    assert observed.told == [StoreCall("memory", "create", None, 0.25), StoreCall("memory", "append", None, 0.25)]


async def test_appends_are_measured_though_nobody_is_told() -> None:
    """With their durations: what was refused is none."""
    slow, meter = Slow(), Meter()
    store = ObservedStore(slow, meter, Appends(lambda: slow.seconds))
    fence = await store.create(RECORD, BEGIN)
    assert isinstance(fence, Fence)
    store.append([Delta("a")], fence=fence, expected=1)
    with pytest.raises(OffsetMismatch):
        store.append([Delta("b")], fence=fence, expected=1)
    durations = meter.histogram("tidegate_store_append_seconds", "memory")
    assert (sum(durations.counts), durations.total) == (1, 0.25)


async def test_a_commit_is_told_when_it_is_done() -> None:
    """A future is over when it is done, also where the store could not write or nobody waits any more."""
    later = Later()
    observed = Observed(later)
    fence = await observed.store.create(RECORD, BEGIN)
    assert isinstance(fence, Fence)
    observed.told.clear()
    for _ in range(3):
        observed.store.append([Delta("a")], fence=fence, expected=1)
    assert (observed.told, observed.appended) == ([], 0)
    later.answers[0].set_result(2)
    await asyncio.sleep(0)
    assert observed.appended == 1
    later.answers[1].set_exception(StoreUnavailable("full"))
    later.answers[2].cancel()
    await asyncio.sleep(0)
    assert [call.code for call in observed.told] == [None, "store_unavailable", None]


async def test_a_refusal_is_told_with_its_code() -> None:
    """Whoever called gets the error as it is."""
    observed = Observed(MemoryStore(max_generation_bytes=1 << 20))
    with pytest.raises(StreamNotFound):
        await observed.store.look("gen_0")
    with pytest.raises(StreamNotFound):
        observed.store.append([END], fence=Fence("gen_0", "e"), expected=0)
    assert [(call.operation, call.code) for call in observed.told] == [
        ("look", "stream_not_found"),
        ("append", "stream_not_found"),
    ]


async def test_an_engine_over_it_works_as_over_the_store() -> None:
    """A generation is created and appended to, and nothing else is asked of the store for it."""
    observed = Observed(MemoryStore(max_generation_bytes=1 << 20))
    engine = Engine(store=observed.store)  # type: ignore[arg-type]

    async def answer(request: GenerationRequest, sink: Sink) -> None:
        sink.emit([Delta("a"), END])

    engine.add(Scripted(answer))
    stream = await engine.start()
    await engine.service.node.live.get(stream).ended  # type: ignore[union-attr]
    assert [call.operation for call in observed.told] == ["create", "append"]
