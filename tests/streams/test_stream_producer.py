from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Callable, Sequence

import pytest
from engine_kit import Recorder, Scripted, request
from eventually_kit import eventually

from tidegate.core.events import (
    Cancelled,
    Carried,
    Completed,
    Content,
    Delta,
    Event,
    Failed,
    GenerationRequest,
    Usage,
    decode,
    encode,
)
from tidegate.errors import Fenced, OffsetMismatch, StoreUnavailable, UpstreamRefused
from tidegate.observe.base import Failure
from tidegate.observe.metrics.meter import Meter
from tidegate.observe.metrics.pace import Pace
from tidegate.providers.base import Sink
from tidegate.stores.records import Fence
from tidegate.streams.producer import HIGH_WATER, Producer
from tidegate.streams.timing import Timing

pytestmark = pytest.mark.anyio

END = Completed("stop", Usage(1, 2, 3))


class Log:
    """Keeps what is appended. With `slow` each append waits for `commit`; what is in `refusals` is raised first."""

    def __init__(self, *, slow: bool = False, refusals: Sequence[Exception] = ()) -> None:
        self.batches: list[list[Event]] = []
        self.under_way: list[tuple[Future[int], list[Event]]] = []
        self._slow = slow
        self._refusals = list(refusals)

    @property
    def events(self) -> list[Event]:
        return [event for batch in self.batches for event in batch]

    def append(self, given: Sequence[Event | bytes], *, fence: Fence, expected: int) -> int | Future[int]:
        events = [decode(event) if isinstance(event, bytes) else event for event in given]
        tail = 1 + len(self.events)
        if expected != tail:
            raise OffsetMismatch("another tail", tail=tail)
        if self._refusals:
            raise self._refusals.pop(0)
        if not self._slow:
            self.batches.append(list(events))
            return tail + len(events)
        answer: Future[int] = asyncio.get_running_loop().create_future()
        self.under_way.append((answer, list(events)))
        return answer

    def commit(self) -> None:
        """The append that is under way is done."""
        answer, events = self.under_way.pop(0)
        self.batches.append(events)
        answer.set_result(1 + len(self.events))


class Filled:
    """A stream that a producer fills after its first event. The clock goes on by a second with each look."""

    def __init__(self, log: Log | None = None, *, carried: Carried | None = None) -> None:
        self.log = log or Log()
        self.observer = Recorder()
        self._now = 0
        self.producer = Producer(
            self.log,  # type: ignore[arg-type]
            Fence("gen_1", "e"),
            1,
            request(carried=carried),
            observer=self.observer,
            clock=self._clock,
            timing=Timing(retry=(0.0,), stop=0.02),
            pace=Pace(Meter(), "m", 0.0),
        )

    def _clock(self) -> float:
        self._now += 1
        return self._now

    async def play(self, play: Callable[[GenerationRequest, Sink], Awaitable[None]]) -> Scripted:
        """Runs to the end with a provider that does this."""
        provider = Scripted(play)
        await self.producer.run(provider)
        async with asyncio.timeout(5):
            await self.producer.ended
        return provider


def emitting(*batches: Sequence[Content | Completed]) -> Callable[[GenerationRequest, Sink], Awaitable[None]]:
    async def play(request: GenerationRequest, sink: Sink) -> None:
        for batch in batches:
            sink.emit(batch)

    return play


async def hang(request: GenerationRequest, sink: Sink) -> None:
    await asyncio.Event().wait()


async def test_what_is_emitted_is_appended_at_once() -> None:
    """A store that needs no I/O has it before `emit` returns: its readers are woken in the same callback."""
    filled = Filled()

    async def play(request: GenerationRequest, sink: Sink) -> None:
        sink.emit([Delta("a"), Delta("b")])
        assert filled.log.events == [Delta("a"), Delta("b")]
        sink.emit([END])

    await filled.play(play)
    assert filled.log.batches == [[Delta("a"), Delta("b")], [END]]
    assert filled.producer.ended.result() == END


async def test_a_provider_that_just_returns_has_answered() -> None:
    """Its stream ends with `stop`, and an estimate of what it took."""
    filled = Filled()
    await filled.play(emitting([Delta("a")], [Delta("b"), Delta("")]))
    prompt = request().prompt_tokens
    assert filled.log.events[-1] == Completed("stop", Usage(prompt, 2, prompt + 2, estimated=True))


async def test_what_follows_the_end_is_dropped() -> None:
    """Also in the same burst."""
    filled = Filled()
    await filled.play(emitting([Delta("a"), END, END], [Delta("late")]))
    assert filled.log.events == [Delta("a"), END]


async def test_the_first_end_wins() -> None:
    """A cancel stops the provider, and what that says of it afterwards is nothing to readers."""
    filled = Filled()
    provider = Scripted(hang)
    running = asyncio.create_task(filled.producer.run(provider))
    await eventually(lambda: provider.running == 1)
    end = Cancelled("client", None, filled.producer.usage_so_far())
    filled.producer.end(end)
    filled.producer.fail(UpstreamRefused("no", type="x", status=400))
    await running
    assert (filled.log.events, provider.cancelled, filled.producer.failure) == ([end], 1, None)


async def test_one_append_is_under_way_at_a_time() -> None:
    """What comes meanwhile goes together into the next one, the end too."""
    filled = Filled(Log(slow=True))
    playing = asyncio.create_task(filled.play(emitting([Delta("a")], [Delta("b")], [Delta("c"), END])))
    await eventually(lambda: len(filled.log.under_way) == 1)
    await asyncio.sleep(0)
    assert len(filled.log.under_way) == 1
    filled.log.commit()
    await eventually(lambda: len(filled.log.under_way) == 1)
    filled.log.commit()
    await playing
    assert filled.log.batches == [[Delta("a")], [Delta("b"), Delta("c"), END]]


async def test_a_provider_waits_for_a_store_that_is_behind() -> None:
    """Past the high water there is no room until the store has taken what waits."""
    filled = Filled(Log(slow=True))
    full: list[bool] = []

    async def flood(request: GenerationRequest, sink: Sink) -> None:
        sink.emit([Delta("first")])
        full.append(sink.full)
        sink.emit([Delta("x")] * HIGH_WATER)
        full.append(sink.full)
        await sink.room()
        full.append(sink.full)
        sink.emit([END])

    playing = asyncio.create_task(filled.play(flood))
    await eventually(lambda: len(full) == 2)
    while not playing.done():
        if filled.log.under_way:
            filled.log.commit()
        await asyncio.sleep(0)
    await playing
    assert full == [False, True, False]
    assert len(filled.log.events) == HIGH_WATER + 2


async def test_deltas_in_their_json_form_keep_their_place_among_events() -> None:
    """Whether the store has answered or not, what is emitted comes in this order, and is counted."""
    filled = Filled(Log(slow=True))
    a, b, c = (encode(Delta(text)) for text in "abc")

    async def play(request: GenerationRequest, sink: Sink) -> None:
        sink.emit_deltas([a])
        sink.emit_deltas([b])
        sink.emit([Delta("-")])
        filled.log.commit()
        await asyncio.sleep(0)
        sink.emit_deltas([c])
        sink.emit([END])
        sink.emit_deltas([a])

    playing = asyncio.create_task(filled.play(play))
    while not playing.done():
        if filled.log.under_way:
            filled.log.commit()
        await asyncio.sleep(0)
    assert [getattr(event, "text", None) for event in filled.log.events] == ["a", "b", "-", "c", None]
    assert (filled.producer.pieces, filled.producer.first_piece_at) == (4, 1.0)


async def test_deltas_in_their_json_form_fill_the_sink_too() -> None:
    """A provider that emits them while the store is slow is told to stop, as with events."""
    filled = Filled(Log(slow=True))
    full: list[bool] = []

    async def flood(request: GenerationRequest, sink: Sink) -> None:
        for _ in range(HIGH_WATER + 1):
            sink.emit_deltas([encode(Delta("x"))])
        full.append(sink.full)
        await sink.room()
        full.append(sink.full)

    playing = asyncio.create_task(filled.play(flood))
    while not playing.done():
        if filled.log.under_way:
            filled.log.commit()
        await asyncio.sleep(0)
    assert full == [True, False]
    assert len(filled.log.events) == HIGH_WATER + 2


async def test_a_provider_has_answered_once_it_accepts() -> None:
    """By a word or by its first token; a failure before is the answer, and one after it is an event."""
    filled = Filled()

    async def accept(request: GenerationRequest, sink: Sink) -> None:
        sink.opened()
        assert filled.producer.answered.result() is None
        raise UpstreamRefused("late", type="x", status=400)

    await filled.play(accept)
    assert filled.producer.answered.result() is None

    refused = UpstreamRefused("no", type="x", status=418)

    async def refuse(request: GenerationRequest, sink: Sink) -> None:
        raise refused

    second = Filled()
    await second.play(refuse)
    assert second.producer.answered.result() is second.producer.failure is refused


async def test_a_store_that_cannot_write_stops_the_provider_and_gets_the_end_later() -> None:
    """Nothing that was shown is taken back; the operator is told once, however long it takes."""
    filled = Filled(Log(refusals=[StoreUnavailable("full")] * 4))

    async def play(request: GenerationRequest, sink: Sink) -> None:
        sink.emit([Delta("late")])
        await hang(request, sink)

    provider = await filled.play(play)
    text, end = filled.log.events
    assert text == Delta("late")
    assert isinstance(end, Failed)
    assert end.error.code == "store_unavailable"
    assert (provider.cancelled, len(filled.observer.of(Failure))) == (1, 1)


async def test_nothing_takes_the_place_of_what_the_store_may_have_had() -> None:
    """Readers at another node may have seen it, before a replica was promoted that lacks it."""
    filled = Filled(Log(slow=True))
    playing = asyncio.create_task(filled.play(emitting([Delta("seen")])))
    await eventually(lambda: filled.log.under_way)
    filled.log.under_way.pop()[0].set_exception(StoreUnavailable("away"))
    await eventually(lambda: filled.log.under_way)
    filled.log.commit()
    await playing
    assert [type(event) for event in filled.log.events] == [Delta, Failed]


async def test_what_the_store_has_had_all_along_is_not_repeated() -> None:
    """The answer to an append was lost, not the append."""
    filled = Filled(Log(slow=True))
    playing = asyncio.create_task(filled.play(emitting([Delta("seen")])))
    await eventually(lambda: filled.log.under_way)
    answer, events = filled.log.under_way.pop()
    filled.log.batches.append(events)
    answer.set_exception(StoreUnavailable("away"))
    await eventually(lambda: filled.log.under_way)
    filled.log.commit()
    await playing
    assert [type(event) for event in filled.log.events] == [Delta, Failed]


async def test_a_store_that_fails_in_ways_nobody_expects_gets_the_end_later() -> None:
    """The stream stays here: whoever else filled it would have its provider asked, and paid for, again and again."""
    filled = Filled(Log(refusals=[RuntimeError("a bug")] * 5))
    provider = await filled.play(emitting([Delta("lost")]))
    (end,) = filled.log.events
    assert isinstance(end, Failed)
    assert (end.error.code, provider.asked, filled.producer.is_let_go) == ("provider_error", 1, False)


async def test_a_stream_that_is_anothers_is_left_to_it() -> None:
    """Nothing is written any more, and whoever waits here is told so."""
    filled = Filled(Log(refusals=[Fenced("not yours")]))

    async def play(request: GenerationRequest, sink: Sink) -> None:
        sink.emit([Delta("a")])
        await hang(request, sink)

    provider = await filled.play(play)
    assert (filled.log.events, filled.producer.is_let_go, provider.cancelled) == ([], True, 1)
    assert isinstance(filled.producer.failure, Fenced)


async def test_what_is_let_go_while_its_end_cannot_be_written_is_not_ended_later() -> None:
    """Its end is for another node to write, once the store can."""
    filled = Filled(Log(refusals=[StoreUnavailable("full")] * 1_000_000))
    playing = asyncio.create_task(filled.play(emitting([Delta("a")])))
    await eventually(lambda: bool(filled.observer.of(Failure)))
    filled.producer.let_go()
    await playing
    left = len(filled.log._refusals)
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(filled.log._refusals) == left


async def test_what_was_carried_counts_and_is_no_first_token() -> None:
    """Its tokens were paid for by this stream, but another process has shown them."""
    filled = Filled(carried=Carried("one two", 2))
    await filled.play(hang_up)
    assert filled.producer.first_piece_at is None
    await (again := Filled(carried=Carried("one two", 2))).play(emitting([Delta(" three")]))
    assert again.producer.first_piece_at == 1.0
    assert (filled.producer.usage_so_far().completion_tokens, again.producer.usage_so_far().completion_tokens) == (2, 3)


async def hang_up(request: GenerationRequest, sink: Sink) -> None:
    raise UpstreamRefused("no", type="x", status=400)


async def test_what_the_provider_has_counted_stands_for_the_estimate() -> None:
    """Where the answer gets another end than its own."""
    filled = Filled()

    async def play(request: GenerationRequest, sink: Sink) -> None:
        sink.emit([Delta("a")])
        sink.counted(Usage(10, 5, 15))

    await filled.play(play)
    assert filled.log.events[-1] == Completed("stop", Usage(10, 5, 15))


async def test_a_stream_that_was_ended_before_its_turn_asks_nobody() -> None:
    """Its provider never hears of it, and its prompt costs nothing."""
    filled = Filled()
    filled.producer.end(Cancelled("client", None, filled.producer.usage_so_far()))
    provider = await filled.play(hang)
    assert (provider.asked, filled.producer.usage_so_far().total_tokens) == (0, 0)
