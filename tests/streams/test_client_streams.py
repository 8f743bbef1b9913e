from __future__ import annotations

import asyncio
from time import monotonic

import pytest
from engine_kit import ANNA, Engine, Scripted

from tidegate.core.events import Completed, Delta, GenerationRequest, Usage
from tidegate.errors import Draining, Fenced, StorageFull, StreamEnded, TooManyGenerations
from tidegate.providers.base import Sink
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Claim, Fence
from tidegate.streams.quotas import Quotas

pytestmark = pytest.mark.anyio

END = Completed("stop", Usage(0, 1, 1))
CLAIM = Claim("anna streams k", b"digest")


async def hang(request: GenerationRequest, sink: Sink) -> None:
    await asyncio.Event().wait()


async def opened(engine: Engine, claim: Claim | None = None) -> tuple[str, str]:
    stream, token = await engine.service.open_client_stream({}, owner=ANNA, claim=claim)
    assert token is not None
    return stream, token


class Counting(MemoryStore):
    """Counts takeovers, each of which takes a turn of the loop."""

    def __init__(self) -> None:
        super().__init__(max_generation_bytes=1 << 20)
        self.acquired = 0

    async def acquire(self, stream: str, *, lease: bytes = b"") -> Fence:
        self.acquired += 1
        await asyncio.sleep(0)
        return await super().acquire(stream, lease=lease)


async def test_a_caller_does_not_fill_what_a_model_fills(engine: Engine) -> None:
    """However its token looks."""
    engine.add(Scripted(hang))
    stream = await engine.start()
    with pytest.raises(Fenced, match="filled by its model"):
        await engine.service.append(stream, ANNA, "lease_1", 1, [Delta("a")])


async def test_a_place_is_had_until_the_end() -> None:
    """A stream that its caller fills counts like any other; one that could not be made counts for nothing."""
    engine = Engine(quotas=lambda cluster: Quotas(cluster, generations=1, clock=monotonic))
    stream, token = await opened(engine)
    with pytest.raises(TooManyGenerations):
        await opened(engine)
    await engine.service.append(stream, ANNA, token, 1, [END])

    async def refuse(*_: object, **__: object) -> Fence:
        raise StorageFull("no room", retry_after=1)

    create, engine.store.create = engine.store.create, refuse  # type: ignore[method-assign]
    with pytest.raises(StorageFull):
        await opened(engine)
    engine.store.create = create  # type: ignore[method-assign]
    await opened(engine)


async def test_a_server_that_stops_opens_nothing(engine: Engine) -> None:
    """Its caller is told to come back."""
    await engine.service.drain(0)
    with pytest.raises(Draining):
        await opened(engine)


class Held(MemoryStore):
    """A store that does not let `held` be acquired before the test says so."""

    def __init__(self) -> None:
        super().__init__(max_generation_bytes=1 << 20)
        self.held = ""
        self.go_on = asyncio.Event()

    async def acquire(self, stream: str, *, lease: bytes = b"") -> Fence:
        if stream == self.held:
            await self.go_on.wait()
        return await super().acquire(stream, lease=lease)


async def test_producers_that_move_do_not_wait_for_each_other() -> None:
    """When a node stops, all of its producers come to the others within moments."""
    store = Held()
    near, far = Engine(store=store), Engine(store=store)
    streams = [await opened(near) for _ in range(2)]
    store.held = streams[0][0]
    waiting = asyncio.create_task(far.service.append(streams[0][0], ANNA, streams[0][1], 1, [END]))
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await far.service.append(streams[1][0], ANNA, streams[1][1], 1, [END])
    assert not waiting.done()
    store.go_on.set()
    await waiting


async def test_a_producer_that_moves_is_taken_over_once() -> None:
    """However many of its appends arrive together at the other node."""
    store = Counting()
    near, far = Engine(store=store), Engine(store=store)
    await asyncio.gather(near.service.open(), far.service.open())
    stream, token = await opened(near)
    answers = await asyncio.gather(*(far.service.append(stream, ANNA, token, 1, [Delta("a")]) for _ in range(3)))
    assert [(answer.after.offset, answer.fresh) for answer in answers] == [(2, True), (2, False), (2, False)]
    assert store.acquired == 1
    assert (stream in near.service.node.live, stream in far.service.node.live) == (False, True)
    await asyncio.gather(near.service.close(), far.service.close())


async def test_a_stream_that_is_opened_again_as_it_moves_has_the_lease_that_was_given_last() -> None:
    """The producer's old lease has brought it to the other node meanwhile: it is replaced there, too."""
    store = Counting()
    near, far = Engine(store=store), Engine(store=store)
    await asyncio.gather(near.service.open(), far.service.open())
    stream, old = await opened(near, CLAIM)
    _, again = await asyncio.gather(far.service.append(stream, ANNA, old, 1, [Delta("a")]), opened(far, CLAIM))
    with pytest.raises(Fenced):
        await far.service.append(stream, ANNA, old, 2, [Delta("late")])
    assert (await far.service.append(stream, ANNA, again[1], 2, [Delta("b")])).fresh
    await asyncio.gather(near.service.close(), far.service.close())


async def test_a_wrong_token_moves_nothing() -> None:
    """A guess at another node takes the stream from nobody."""
    store = Counting()
    near, far = Engine(store=store), Engine(store=store)
    stream, token = await opened(near)
    with pytest.raises(Fenced):
        await far.service.append(stream, ANNA, "lease_0", 1, [Delta("a")])
    assert store.acquired == 0
    assert (await near.service.append(stream, ANNA, token, 1, [Delta("a")])).fresh


async def test_opening_again_after_the_end_gives_no_lease(engine: Engine) -> None:
    """There is nothing left to fill, and who tries is told so."""
    stream, token = await opened(engine, CLAIM)
    await engine.service.append(stream, ANNA, token, 1, [END])
    assert await engine.service.open_client_stream({}, owner=ANNA, claim=CLAIM) == (stream, None)
    with pytest.raises(StreamEnded):
        await engine.service.append(stream, ANNA, token, 2, [Delta("late")])
