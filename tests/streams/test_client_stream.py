from __future__ import annotations

import asyncio
import socket
from asyncio import Future
from collections.abc import Sequence

import pytest
from engine_kit import ANNA, BERT, Engine
from pause_kit import pause

from tidegate.core.events import Appendable, Cancelled, Completed, Delta, Event, Failed, Usage
from tidegate.errors import Fenced, OffsetMismatch, StoreUnavailable, StreamEnded, StreamNotFound, TooLong
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Claim, Fence

pytestmark = pytest.mark.anyio

END = Completed("stop", Usage(0, 1, 1))


@pytest.fixture
def engine() -> Engine:
    return Engine()


async def opened(engine: Engine, claim: Claim | None = None) -> tuple[str, str]:
    stream, token = await engine.service.open_client_stream({}, owner=ANNA, claim=claim)
    assert token is not None
    return stream, token


async def test_its_caller_fills_it_to_the_end(engine: Engine) -> None:
    """Each append answers with the position after it, and readers have it."""
    stream, token = await opened(engine)
    first = await engine.service.append(stream, ANNA, token, 1, [Delta("a"), Delta("b")])
    assert first.after.offset == 3
    await engine.service.append(stream, ANNA, token, 3, [END])
    assert [type(event) for event in (await engine.events(stream))[1:]] == [Delta, Delta, Completed]
    assert (await engine.service.snapshot(stream, ANNA)).status == "completed"


async def test_repeating_an_append_is_harmless(engine: Engine) -> None:
    """An answer that was lost on the way is given again, also that to the end."""
    stream, token = await opened(engine)
    for _ in range(2):
        assert (await engine.service.append(stream, ANNA, token, 1, [Delta("a")])).after.offset == 2
    await engine.service.append(stream, ANNA, token, 2, [Delta("b")])
    assert (await engine.service.append(stream, ANNA, token, 1, [Delta("a")])).after.offset == 2
    for _ in range(2):
        assert (await engine.service.append(stream, ANNA, token, 3, [END])).after.offset == 4
    with pytest.raises(StreamEnded):
        await engine.service.append(stream, ANNA, token, 4, [Delta("c")])


async def test_the_wrong_place_is_refused_with_the_right_one(engine: Engine) -> None:
    """A producer that has lost count learns where to go on, and nothing was changed."""
    stream, token = await opened(engine)
    with pytest.raises(OffsetMismatch) as caught:
        await engine.service.append(stream, ANNA, token, 7, [Delta("a")])
    assert caught.value.body(None)["error"]["offset"] == 1
    assert (await engine.service.snapshot(stream, ANNA)).text == ""


async def test_another_token_is_fenced(engine: Engine) -> None:
    """A guess, or the lease of an earlier instance, appends nothing; nobody else's streams are even there."""
    stream, _ = await opened(engine)
    with pytest.raises(Fenced):
        await engine.service.append(stream, ANNA, "lease_0", 1, [Delta("a")])
    with pytest.raises(StreamNotFound):
        await engine.service.append(stream, BERT, "lease_0", 1, [Delta("a")])


async def test_opening_again_by_the_same_key_fences_the_earlier_instance(engine: Engine) -> None:
    """An agent that crashed and lost its token takes its own stream over; a twin that still runs cannot append."""
    claim = Claim("anna streams k", b"digest")
    stream, old = await opened(engine, claim)
    await engine.service.append(stream, ANNA, old, 1, [Delta("a")])
    again, new = await opened(engine, claim)
    assert again == stream
    with pytest.raises(Fenced):
        await engine.service.append(stream, ANNA, old, 2, [Delta("b")])
    await engine.service.append(stream, ANNA, new, 2, [END])
    ended = await engine.service.open_client_stream({}, owner=ANNA, claim=claim)
    assert ended == (stream, None)


async def test_a_producer_that_dies_is_found_out() -> None:
    """Without a renewal within the lease the stream ends truthfully, and the producer is told that it was too late."""
    engine = Engine(lease_seconds=0.02)
    stream, token = await opened(engine)
    await engine.service.append(stream, ANNA, token, 1, [Delta("a")])
    events = await engine.events(stream)
    assert isinstance(events[-1], Failed)
    assert events[-1].error.code == "interrupted"
    assert events[-1].usage.completion_tokens == 1
    with pytest.raises(Fenced):
        await engine.service.append(stream, ANNA, token, 2, [Delta("b")])


@pytest.mark.parametrize("seconds", [0.15, 0.4])
async def test_a_pause_of_this_process_is_not_the_producers_silence(seconds: float) -> None:
    """What it has sent meanwhile waits in its socket, and is read before the lease is judged."""
    engine = Engine(lease_seconds=0.1)
    stream, token = await opened(engine)
    ours, its = socket.socketpair()

    async def renew() -> None:
        await asyncio.get_running_loop().sock_recv(ours, 1)
        await engine.service.append(stream, ANNA, token, 1, [Delta("a")])

    with ours, its:
        ours.setblocking(False)
        renewing = asyncio.create_task(renew())
        await asyncio.sleep(0)
        its.send(b"x")
        pause(seconds)
        await renewing
    assert (await engine.service.snapshot(stream, ANNA)).status == "running"


async def test_an_append_without_events_renews(engine: Engine) -> None:
    """A producer that thinks for long says that it is alive."""
    stream, token = await opened(engine)
    leased = engine.service.node.live.get(stream)
    before = leased._deadline  # type: ignore[union-attr]
    assert (await engine.service.append(stream, ANNA, token, 1, [])).after.offset == 1
    assert leased._deadline > before  # type: ignore[union-attr]


async def test_it_can_be_cancelled(engine: Engine) -> None:
    """A reader's cancel ends it; its producer learns so with the next append."""
    stream, token = await opened(engine)
    status, _ = await engine.service.cancel(stream, ANNA, "enough")
    assert status == "cancelled"
    assert isinstance((await engine.events(stream))[-1], Cancelled)
    with pytest.raises(StreamEnded):
        await engine.service.append(stream, ANNA, token, 1, [Delta("a")])


async def test_an_append_beside_a_cancel_is_told_that_the_stream_has_ended(engine: Engine) -> None:
    """The end is not in the log yet; but nobody else fills the stream, so its producer is not fenced."""
    stream, token = await opened(engine)
    leased = engine.service.node.live.get(stream)
    assert leased is not None
    appending = asyncio.create_task(engine.service.append(stream, ANNA, token, 1, [Delta("a")]))
    await asyncio.sleep(0)
    leased.cancel("client", None)
    with pytest.raises(StreamEnded):
        await appending
    assert (await engine.service.snapshot(stream, ANNA)).text == ""


async def test_repeating_an_append_beside_a_cancel_is_harmless(engine: Engine) -> None:
    """What the log has is acknowledged, although nothing more is taken."""
    stream, token = await opened(engine)
    await engine.service.append(stream, ANNA, token, 1, [Delta("a")])
    leased = engine.service.node.live.get(stream)
    assert leased is not None
    repeating = asyncio.create_task(engine.service.append(stream, ANNA, token, 1, [Delta("a")]))
    await asyncio.sleep(0)
    leased.cancel("client", None)
    assert (await repeating).after.offset == 2


async def test_a_server_that_keeps_nothing_ends_it_when_it_stops(engine: Engine) -> None:
    """Where the log is gone with the process, the stream ends before."""
    stream, _ = await opened(engine)
    await engine.service.drain(0)
    assert isinstance((await engine.events(stream))[-1], Failed)


class Waiting(MemoryStore):
    """A store whose takeovers are committed when the test says so."""

    def __init__(self) -> None:
        super().__init__(max_generation_bytes=1000)
        self.acquired = asyncio.Event()
        self.commit = asyncio.Event()

    async def acquire(self, stream: str, *, lease: bytes = b"") -> Fence:
        fence = await super().acquire(stream, lease=lease)
        self.acquired.set()
        await self.commit.wait()
        return fence


async def test_opening_again_and_a_cancel_at_once_leave_a_stream_with_an_end() -> None:
    """Whichever comes first: the old fence is void while the new one is being written."""
    store = Waiting()
    engine = Engine(store=store)
    claim = Claim("anna streams k", b"digest")
    stream, _ = await opened(engine, claim)
    opening = asyncio.create_task(engine.service.open_client_stream({}, owner=ANNA, claim=claim))
    await asyncio.sleep(0)
    cancelling = asyncio.create_task(engine.service.cancel(stream, ANNA, None))
    await asyncio.sleep(0)
    store.commit.set()
    await asyncio.gather(opening, cancelling)
    assert isinstance((await engine.events(stream))[-1], Cancelled)


async def test_a_stream_that_grows_too_long_ends_so() -> None:
    """Past the limit a producer is refused, and readers are told why it ends there."""
    engine = Engine(max_generation_bytes=1000)
    stream, token = await opened(engine)
    with pytest.raises(TooLong) as caught:
        await engine.service.append(stream, ANNA, token, 1, [Delta("x" * 2000)])
    assert caught.value.status == 413
    end = (await engine.events(stream))[-1]
    assert isinstance(end, Failed)
    assert end.error.code == "too_long"


async def test_a_drain_lets_producers_finish(engine: Engine) -> None:
    """Those of a store that keeps nothing have as long as generations have."""
    stream, token = await opened(engine)
    drain = asyncio.create_task(engine.service.drain(5))
    await asyncio.sleep(0)
    await engine.service.append(stream, ANNA, token, 1, [END])
    await drain
    assert isinstance((await engine.events(stream))[-1], Completed)


async def test_renewing_at_the_wrong_place_is_told_the_right_one(engine: Engine) -> None:
    """Also where nothing is appended."""
    stream, token = await opened(engine)
    with pytest.raises(OffsetMismatch):
        await engine.service.append(stream, ANNA, token, 99, [])


async def test_who_gives_up_on_opening_again_leaves_a_stream_that_still_ends() -> None:
    """A call that is cancelled while the store takes the stream over does not lose the fence with which it ends."""
    store = Waiting()
    engine = Engine(store=store)
    claim = Claim("anna streams k", b"digest")
    stream, _ = await opened(engine, claim)
    opening = asyncio.create_task(engine.service.open_client_stream({}, owner=ANNA, claim=claim))
    await store.acquired.wait()
    opening.cancel()
    store.commit.set()
    await engine.service.cancel(stream, ANNA, None)
    assert isinstance((await engine.events(stream))[-1], Cancelled)


class InDoubt(MemoryStore):
    """Refuses the next append once `away` is set, as a store does of which nobody knows whether it has it."""

    away = False

    def append(self, events: Sequence[Appendable], *, fence: Fence, expected: int) -> int | Future[int]:
        if self.away:
            self.away = False
            raise StoreUnavailable("away")
        return super().append(events, fence=fence, expected=expected)


async def in_doubt(events: Sequence[Event]) -> tuple[Engine, str]:
    """An engine, and a stream of which nobody knows whether it has these events."""
    store = InDoubt(max_generation_bytes=1000)
    engine = Engine(store=store)
    stream, token = await opened(engine)
    store.away = True
    with pytest.raises(StoreUnavailable):
        await engine.service.append(stream, ANNA, token, 1, events)
    return engine, stream


async def test_nothing_takes_the_place_of_what_the_store_may_have_had() -> None:
    """Readers at another node may have seen it, before a replica was promoted that lacks it."""
    engine, stream = await in_doubt([Delta("seen")])
    await engine.service.cancel(stream, ANNA, None)
    assert [type(event) for event in await engine.events(stream)][1:] == [Delta, Cancelled]


async def test_an_end_that_the_store_may_have_had_stays_the_end() -> None:
    """Whoever cancels afterwards cannot take back what somebody may have been shown."""
    engine, stream = await in_doubt([Delta("seen"), END])
    await engine.service.cancel(stream, ANNA, None)
    assert (await engine.events(stream))[1:] == [Delta("seen"), END]


async def test_what_never_fitted_does_not_hold_the_end_back() -> None:
    """Events that were sent while the store was away, and are too long, are not what the stream ends with."""
    engine, stream = await in_doubt([Delta("x" * 2000)])
    status, _ = await engine.service.cancel(stream, ANNA, None)
    assert status == "cancelled"
    assert [type(event) for event in await engine.events(stream)][1:] == [Cancelled]
