from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import monotonic

import pytest
from engine_kit import ANNA, Engine, Scripted
from eventually_kit import eventually

from tidegate.core.events import Cancelled, Completed, Delta, Event, Failed, GenerationRequest, ToolCall, Usage
from tidegate.errors import Fenced, StoreUnavailable
from tidegate.observe.base import GenerationEnded
from tidegate.providers.base import Sink
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Claim, Fence, StreamRecord
from tidegate.streams.client_stream import ClientStream
from tidegate.streams.quotas import Quotas
from tidegate.streams.timing import Timing

pytestmark = pytest.mark.anyio


class Surviving(MemoryStore):
    """A store that outlives the process that fills it; `failures` says how many appends it cannot write."""

    outlives_process = True
    failures = 0

    async def open(self) -> Sequence[StreamRecord]:
        return [held.record for held in self._streams.values() if held.record.end is None]

    async def close(self) -> None:
        pass

    def append(self, events: Sequence[Event], *, fence: Fence, expected: int) -> int:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the disk is full")
        return super().append(events, fence=fence, expected=expected)


class Play:
    """A provider that says some pieces, then waits to be let on; `asked` keeps its requests."""

    def __init__(self, *pieces: Event) -> None:
        self.pieces = pieces or (Delta("one"), Delta(" two"))
        self.go_on = asyncio.Event()
        self.asked: list[GenerationRequest] = []

    async def __call__(self, request: GenerationRequest, sink: Sink) -> None:
        self.asked.append(request)
        sink.emit(self.pieces)  # type: ignore[arg-type]
        await self.go_on.wait()
        sink.emit([Delta(" late")])


async def finish(request: GenerationRequest, sink: Sink) -> None:
    assert request.carried is not None
    sink.emit([Delta(" three"), Completed("stop", Usage(1, request.carried.pieces + 1, 4))])


@pytest.fixture
def store() -> Surviving:
    return Surviving(max_generation_bytes=1 << 20)


def process(store: Surviving, provider: Scripted, *, can_continue: bool = False, **limits: int) -> Engine:
    """One more process on the same store."""
    engine = Engine(store=store, timing=Timing(retry=(0.01,)))
    engine.add(provider, can_continue=can_continue, **limits)
    return engine


async def running(engine: Engine, play: Play, grace: float | None = 60) -> str:
    stream = await engine.start(grace=grace)
    await eventually(lambda: bool(play.asked))
    return stream


async def test_what_was_live_ends_as_interrupted(store: Surviving) -> None:
    """A restarted process writes the end that the one before could not write; positions go on in a new epoch."""
    play = Play()
    stream = await running(process(store, Scripted(play)), play)
    second = process(store, Scripted(finish))
    await second.service.open()
    entries = await second.entries(stream)
    assert [type(entry.event) for entry in entries[1:]] == [Delta, Delta, Failed]
    assert entries[-1].event.error.code == "interrupted"  # type: ignore[union-attr]
    assert [entry.offset for entry in entries] == [1, 2, 3, 4]
    assert entries[-1].epoch != entries[0].epoch
    (told,) = second.observer.of(GenerationEnded)
    assert (told.stream, told.status, told.code, told.completion_tokens) == (stream, "failed", "interrupted", 2)


async def test_a_snapshot_is_at_a_position_that_the_log_has(store: Surviving) -> None:
    """Also where the end alone was written by another process: whoever has the snapshot goes on before it."""
    play = Play()
    stream = await running(process(store, Scripted(play)), play)
    second = process(store, Scripted(finish))
    await second.service.open()
    entries = await second.entries(stream)
    assert entries[-1].epoch != entries[-2].epoch
    snapshot, rest = await second.service.snapshot_and_rest(stream, ANNA)
    assert (snapshot.cursor, rest) == (str(entries[-1].cursor), entries[-2].cursor)
    assert [entry.event for entry in await second.entries(stream, after=rest)] == [entries[-1].event]


async def test_a_process_that_wakes_up_again_cannot_append(store: Surviving) -> None:
    """Whoever was only paused is fenced: what it says afterwards reaches nobody, and changes nothing."""
    play = Play()
    paused = process(store, Scripted(play))
    stream = await running(paused, play)
    second = process(store, Scripted(finish))
    await second.service.open()
    before = await second.events(stream)
    play.go_on.set()
    await eventually(lambda: bool(paused.failures()))
    assert isinstance(paused.failures()["store"], Fenced)
    assert await second.events(stream) == before


async def test_a_model_that_can_carries_the_answer_on(store: Surviving) -> None:
    """Its provider is given the text so far, and readers see one stream without a seam."""
    play = Play()
    first = process(store, Scripted(play))
    stream = await running(first, play)
    reader = await first.follow(stream)
    second = process(store, Scripted(finish), can_continue=True)
    await second.service.open()
    events = await second.events(stream)
    assert "".join(event.text for event in events if isinstance(event, Delta)) == "one two three"
    assert isinstance(events[-1], Completed)
    assert (await second.service.snapshot(stream, ANNA)).status == "completed"
    reader.close()


async def test_what_was_only_queued_begins(store: Surviving) -> None:
    """No provider was asked yet, so nothing is paid twice: any model can take it up."""
    play = Play()
    first = process(store, Scripted(play), max_concurrency=1)
    await running(first, play)
    queued = await first.start(grace=60)

    async def hello(request: GenerationRequest, sink: Sink) -> None:
        sink.emit([Delta("hello")])

    second = process(store, Scripted(hello))
    await second.service.open()
    assert [type(event) for event in (await second.events(queued))[1:]] == [Delta, Completed]


async def test_nobody_pays_for_an_answer_whose_only_reader_is_gone(store: Surviving) -> None:
    """Where a departure cancels, the end of the process was the departure."""
    play = Play()
    stream = await running(process(store, Scripted(play)), play, grace=0)
    second = process(store, Scripted(finish), can_continue=True)
    await second.service.open()
    assert isinstance((await second.events(stream))[-1], Failed)


async def test_an_answer_in_the_middle_of_a_call_is_not_carried_on(store: Surviving) -> None:
    """No model goes on within the arguments of a tool call: better an honest end."""
    play = Play(ToolCall(0, "call_1", "f", '{"a'))
    stream = await running(process(store, Scripted(play)), play)
    second = process(store, Scripted(finish), can_continue=True)
    await second.service.open()
    assert isinstance((await second.events(stream))[-1], Failed)


async def test_readers_have_their_grace_to_come_back(store: Surviving) -> None:
    """An answer that was carried on is cancelled when none of its readers returns."""
    first_play, second_play = Play(), Play(Delta(" three"))
    stream = await running(process(store, Scripted(first_play)), first_play, grace=0.02)
    second = process(store, Scripted(second_play), can_continue=True)
    await second.service.open()

    async def ended() -> bool:
        return (await store.look(stream)).record.end is not None

    await eventually(ended)
    end = (await store.look(stream)).record.end
    assert isinstance(end, Cancelled)
    assert end.by == "disconnect"


async def test_a_store_that_cannot_write_yet_is_asked_again(store: Surviving) -> None:
    """A disk that is full at the start delays the end; the server serves what there is meanwhile."""
    play = Play()
    stream = await running(process(store, Scripted(play)), play)
    store.failures = 2
    second = process(store, Scripted(finish))
    await second.service.open()
    assert (await second.service.snapshot(stream, ANNA)).text == "one two"
    assert isinstance((await second.events(stream))[-1], Failed)
    assert store.failures == 0


async def test_a_generation_whose_store_cannot_write_ends_when_it_can(store: Surviving) -> None:
    """The provider is stopped at once, nothing that was shown is taken back, and the end follows what it had said."""
    play = Play()
    provider = Scripted(play)
    engine = process(store, provider)
    stream = await running(engine, play)
    store.failures = 3
    play.go_on.set()
    events = await engine.events(stream)
    assert [type(event) for event in events[1:]] == [Delta, Delta, Delta, Failed]
    assert events[-1].error.code == "store_unavailable"  # type: ignore[union-attr]
    assert provider.running == 0


async def test_a_server_that_closes_writes_no_more_ends(store: Surviving) -> None:
    """What the store could not write until then is for the next process, which ends it once the store can."""
    play = Play()
    engine = Engine(store=store, timing=Timing(retry=(0.001,), parting=0.01))
    engine.add(Scripted(play))
    stream = await running(engine, play)
    store.failures = 1_000_000
    play.go_on.set()
    await eventually(lambda: store.failures < 999_998)
    await engine.service.close()
    left, closed = store.failures, monotonic()
    await eventually(lambda: monotonic() > closed + 10 * 0.001)
    assert store.failures == left
    store.failures = 0
    second = process(store, Scripted(finish))
    await second.service.open()
    end = (await second.events(stream))[-1]
    assert isinstance(end, Failed)
    assert end.error.code == "interrupted"


async def test_a_sweep_that_fails_is_not_the_last(store: Surviving, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is full for a while does not end retention for good."""

    async def refuse(ended_before: float) -> int:
        raise StoreUnavailable("the disk is full")

    engine = process(store, Scripted(finish))
    monkeypatch.setattr(store, "expire", refuse)
    await engine.service.expire(0)


async def test_an_own_producer_goes_on_where_it_was(store: Surviving) -> None:
    """Its lease outlives the server's process: the same token appends at the same offset."""
    first = process(store, Scripted(finish))
    stream, token = await first.service.open_client_stream({}, owner=ANNA)
    assert token is not None
    await first.service.append(stream, ANNA, token, 1, [Delta("a")])
    second = process(store, Scripted(finish))
    await second.service.open()
    assert isinstance(second.service.node.live.get(stream), ClientStream)
    await second.service.append(stream, ANNA, token, 1, [Delta("a")])
    cursor = await second.service.append(stream, ANNA, token, 2, [Delta("b"), Completed("stop", Usage(0, 2, 2))])
    assert cursor.after.offset == 4
    assert [type(event) for event in (await second.events(stream))[1:]] == [Delta, Delta, Completed]


async def test_a_server_that_closes_keeps_no_places(store: Surviving) -> None:
    """Opened again it counts what lives on once, however often that was left and taken over."""
    engine = Engine(store=store, quotas=lambda cluster: Quotas(cluster, generations=1, clock=monotonic))
    claim = Claim("anna streams k", b"digest")
    await engine.service.open_client_stream({}, owner=ANNA, claim=claim)
    for _ in range(2):
        await engine.service.close()
        await engine.service.open()
    stream, token = await engine.service.open_client_stream({}, owner=ANNA, claim=claim)
    assert token is not None
    await engine.service.append(stream, ANNA, token, 1, [Completed("stop", Usage(0, 0, 0))])
    await engine.service.open_client_stream({}, owner=ANNA)
