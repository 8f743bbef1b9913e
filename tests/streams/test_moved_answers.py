"""What is answered about a stream that has moved between two nodes, or is about to."""

from __future__ import annotations

import asyncio

import pytest
from engine_kit import ANNA, BERT, Engine, Scripted, request
from eventually_kit import eventually

from tidegate.core.events import Completed, Delta, GenerationRequest, Usage
from tidegate.errors import StreamNotFound, TooManyReaders
from tidegate.providers.base import Sink
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Fence
from tidegate.streams.quotas import Quotas

pytestmark = pytest.mark.anyio

LEASE = 0.4
END = Completed("stop", Usage(0, 1, 1))


class Slow(MemoryStore):
    """A store in which acquiring a stream is a round trip, which waits until it may be `done`."""

    def __init__(self) -> None:
        super().__init__(max_generation_bytes=1 << 20)
        self.asked = asyncio.Event()
        self.done = asyncio.Event()

    async def acquire(self, stream: str, *, lease: bytes = b"") -> Fence:
        self.asked.set()
        await self.done.wait()
        return await super().acquire(stream, lease=lease)


async def go_on(request: GenerationRequest, sink: Sink) -> None:
    """Ends what another node has begun; what begins here hangs."""
    if request.carried is None:
        sink.emit([Delta("Well, ")])
        await asyncio.Event().wait()
    sink.emit([Delta("then."), END])


async def opened(store: MemoryStore) -> Engine:
    engine = Engine(store=store, lease_seconds=LEASE)
    engine.add(Scripted(go_on), can_continue=True)
    await engine.service.open()
    return engine


async def test_an_answer_that_another_node_has_completed_has_not_failed() -> None:
    """Whoever waits for the whole of it, at the node that has lost it meanwhile, gets the answer."""
    store = MemoryStore(max_generation_bytes=1 << 20)
    paused, other = await opened(store), await opened(store)
    handle = await paused.service.start(request(), owner=ANNA, grace=60.0)
    await eventually(lambda: store._get(handle.stream).log.tail == 2)
    paused.cluster.lives_until = 0
    await other.cluster.renew()
    assert (await paused.events(handle.stream))[-1] == END
    await eventually(lambda: handle.stream not in paused.service.node.live)
    assert await paused.service.failure(handle) is None
    await other.service.close()
    await paused.service.close()


async def test_a_cancel_waits_for_a_takeover() -> None:
    """The only node left is about to fill the stream: it does not say that nobody does."""
    store = Slow()
    leaving, staying = await opened(store), await opened(store)
    stream = await leaving.start()
    await eventually(lambda: store._get(stream).log.tail == 2)
    closing = asyncio.create_task(leaving.service.close())
    await store.asked.wait()
    await eventually(lambda: not staying.cluster.others)
    cancelling = asyncio.create_task(staying.service.cancel(stream, ANNA, None))
    await asyncio.sleep(0)
    store.done.set()
    status, _ = await cancelling
    assert status in ("cancelled", "completed")
    await closing
    await staying.service.close()


async def test_a_drain_does_not_wait_for_a_stream_that_has_moved() -> None:
    """The producer has gone to the next process: this one can stop."""
    store = MemoryStore(max_generation_bytes=1 << 20)
    old = Engine(store=store, lease_seconds=LEASE)
    await old.service.open()
    stream, token = await old.service.open_client_stream({}, owner=ANNA)
    assert token is not None
    draining = asyncio.create_task(old.service.drain(60))
    await asyncio.sleep(0)
    new = Engine(store=store, lease_seconds=LEASE)
    await new.service.open()
    await new.service.append(stream, ANNA, token, 1, [Delta("x"), END])
    async with asyncio.timeout(10):
        await draining
    await old.service.close()
    await new.service.close()


async def test_a_delete_that_is_given_up_leaves_no_watcher() -> None:
    """Its caller has left while the stream's readers were waited for."""
    engine = Engine()
    engine.add(Scripted(go_on))
    stream = await engine.start()
    reader = await engine.follow(stream)
    watchers = engine.store._nodes.watchers
    before = len(watchers)
    deleting = asyncio.create_task(engine.service.forget(stream, ANNA))
    await eventually(lambda: len(watchers) > before)
    deleting.cancel()
    await asyncio.wait((deleting,))
    assert len(watchers) == before
    reader.close()
    await engine.service.close()


async def test_a_stream_that_is_not_there_is_not_found_at_the_limit_of_readers() -> None:
    """An `EventSource` that is told to come back would ask for it for ever."""
    engine = Engine(quotas=lambda cluster: Quotas(cluster, readers=1, clock=lambda: 0.0))
    engine.add(Scripted(go_on))
    stream = await engine.start()
    reader = await engine.follow(stream)
    with pytest.raises(TooManyReaders):
        await engine.follow(stream)
    with pytest.raises(StreamNotFound):
        await engine.follow("gen_unknown")
    with pytest.raises(StreamNotFound):
        await engine.follow(stream, viewer=BERT)
    reader.close()
    await engine.service.close()
