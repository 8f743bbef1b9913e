from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

import pytest
from engine_kit import ANNA, Recorder, Scripted, request
from eventually_kit import eventually

from tidegate.core.bucket import Buckets
from tidegate.core.events import Cancelled, Completed, Delta, GenerationRequest, Started, Usage
from tidegate.errors import Fenced, Interrupted
from tidegate.observe.base import GenerationEnded, GenerationStarted
from tidegate.observe.metrics.meter import Meter
from tidegate.providers.base import Sink
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Fence, StreamRecord
from tidegate.streams.generation import Generation, Order
from tidegate.streams.models import Model
from tidegate.streams.quotas import Quotas
from tidegate.streams.started_provider import StartedProvider
from tidegate.streams.timing import DEFAULT_TIMING

pytestmark = pytest.mark.anyio

END = Completed("stop", Usage(3, 4, 7))


class Begun:
    """Generations of one model over a memory store, whose owner has 1000 tokens. The clock goes a second each look."""

    def __init__(
        self,
        play: Callable[[GenerationRequest, Sink], Awaitable[None]],
        *,
        max_concurrency: int = 0,
        can_continue: bool = False,
    ) -> None:
        self.provider = Scripted(play)
        provider = StartedProvider(self.provider)
        self.model = Model("m", provider, max_concurrency=max_concurrency, max_queue=9, can_continue=can_continue)
        self.store = MemoryStore(max_generation_bytes=1 << 20)
        self.cluster = self.store.join("node_a", 5)
        self.observer = Recorder()
        self.bucket = Buckets(1e-9, 1000)
        self.quotas = Quotas(self.cluster, tokens=self.bucket, clock=lambda: 0.0)
        self._numbers = count(1)

    @property
    def tokens_left(self) -> int:
        return round(self.bucket.of(ANNA.account, 0.0).level(0.0))

    async def generation(self, *, grace: float | None = None) -> Generation:
        stream, seconds = f"gen_{next(self._numbers)}", count()
        ticket = self.model.admission.enter(ANNA.account)
        running = ticket.turn.is_set()
        record = StreamRecord(id=stream, owner=ANNA.name, model="m", created_at=0.0, running=running)
        fence = await self.store.create(record, [Started(stream, "m", 0.0)])
        assert isinstance(fence, Fence)
        return Generation(
            self.store,
            self.cluster,
            fence,
            Order(request(max_tokens=10), ANNA.name, grace, running),
            self.model,
            ticket,
            self.quotas.admit(ANNA.account, request(max_tokens=10)),
            1,
            observer=self.observer,
            clock=lambda: float(next(seconds)),
            timing=DEFAULT_TIMING,
            meter=Meter(),
        )


async def answer(request: GenerationRequest, sink: Sink) -> None:
    sink.emit([Delta("a")])
    sink.emit([END])


async def hang(request: GenerationRequest, sink: Sink) -> None:
    await asyncio.Event().wait()


async def test_an_observer_is_told_of_beginning_and_end() -> None:
    """Durations count from the stream's creation; the tokens are those of its end."""
    begun = Begun(answer)
    generation = await begun.generation()
    await generation.run()
    assert begun.observer.seen == [
        GenerationStarted(generation.stream, "m", ANNA.name, 1.0),
        GenerationEnded(
            generation.stream,
            "m",
            ANNA.name,
            "completed",
            None,
            3.0,
            2.0,
            3,
            4,
            queued_s=1.0,
            finish_reason="stop",
        ),
    ]


async def test_what_was_taken_in_advance_is_settled_with_the_end() -> None:
    """The account pays what the end says."""
    begun = Begun(answer)
    generation = await begun.generation()
    assert begun.tokens_left == 1000 - request().prompt_tokens - 10
    await generation.run()
    assert begun.tokens_left == 1000 - 7


async def test_one_generation_after_the_other_has_its_turn() -> None:
    """Whoever waits knows its place, and what is recorded of it follows."""
    begun = Begun(hang, max_concurrency=1)
    first, second = await begun.generation(), await begun.generation()
    assert (first.position, second.position) == (None, 1)
    running = [asyncio.create_task(generation.run()) for generation in (first, second)]
    await eventually(lambda: begun.provider.running == 1)
    assert not (await begun.store.look(second.stream)).record.running
    first.cancel("client", None)
    await eventually(lambda: begun.provider.asked == 2)
    assert second.position is None
    assert (await begun.store.look(second.stream)).record.running
    second.fail(Interrupted("stopping"))
    await asyncio.wait(running)


async def test_what_waits_ends_without_being_asked() -> None:
    """A cancel does not wait for its turn."""
    begun = Begun(hang, max_concurrency=1)
    first, second = await begun.generation(), await begun.generation()
    second.cancel("client", "enough")
    await second.run()
    assert isinstance(second.ended.result(), Cancelled)
    assert (begun.provider.asked, begun.observer.of(GenerationStarted)) == (0, [])
    first.ticket.release()


@pytest.mark.parametrize(("can_continue", "can_move"), [(False, [False, True]), (True, [True, True])])
async def test_only_what_can_go_on_elsewhere_moves(can_continue: bool, can_move: list[bool]) -> None:
    """What a provider has begun, where its model can continue; what still waits begins at any node."""
    begun = Begun(hang, max_concurrency=1, can_continue=can_continue)
    assert [(await begun.generation()).can_move, (await begun.generation()).can_move] == can_move


async def test_a_generation_that_is_let_go_has_no_end_here() -> None:
    """The log gets none, and no observer is told of one: another node goes on. What it took is settled all the same."""
    begun = Begun(hang)
    generation = await begun.generation()
    running = asyncio.create_task(generation.run())
    await eventually(lambda: begun.provider.running == 1)
    generation.let_go()
    await running
    assert (await begun.store.look(generation.stream)).record.end is None
    assert (begun.observer.of(GenerationEnded), begun.provider.cancelled) == ([], 1)
    assert begun.tokens_left == 1000 - request().prompt_tokens
    assert isinstance(generation.failure, Interrupted)


async def test_nobody_else_fills_what_a_model_fills() -> None:
    """There is no lease for it, to append by or to renew."""
    generation = await Begun(answer).generation()
    with pytest.raises(Fenced, match="filled by its model"):
        await generation.append("lease_1", 1, [Delta("a")])
    with pytest.raises(Fenced, match="filled by its model"):
        await generation.renew(b"digest")
    await generation.run()


async def test_an_abandoned_generation_is_cancelled() -> None:
    """Its owner readers have left, on whichever node they were."""
    begun = Begun(hang)
    generation = await begun.generation(grace=0)
    running = asyncio.create_task(generation.run())
    for change in (1, -1):
        begun.cluster.add("owner readers", generation.stream, change)
    await running
    end = generation.ended.result()
    assert isinstance(end, Cancelled)
    assert end.by == "disconnect"
