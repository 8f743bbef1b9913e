from __future__ import annotations

import asyncio
from contextlib import suppress
from time import monotonic

import msgspec
import pytest
from engine_kit import ADMIN, ANNA, BERT, Engine, Scripted, request, until_end
from eventually_kit import eventually

from tidegate.core.batching import BatchPolicy, merge
from tidegate.core.bucket import Buckets
from tidegate.core.events import (
    Cancelled,
    Completed,
    Content,
    Delta,
    ErrorInfo,
    Event,
    Failed,
    GenerationRequest,
    Message,
    Started,
    Usage,
)
from tidegate.core.log import Entry
from tidegate.core.principal import Principal, Scope
from tidegate.errors import (
    Draining,
    IdempotencyMismatch,
    ModelNotFound,
    QueueFull,
    StreamNotFound,
    TidegateError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from tidegate.observe.base import GenerationEnded, ReaderLeft
from tidegate.providers.base import Sink
from tidegate.stores.records import Claim, Fence
from tidegate.streams.quotas import Quotas
from tidegate.streams.reader import Reader
from tidegate.streams.timing import Timing

pytestmark = pytest.mark.anyio


async def say_hello(request: GenerationRequest, sink: Sink) -> None:
    sink.emit([Delta("Hel")])
    await asyncio.sleep(0)
    sink.emit([Delta("lo")])


async def hang(request: GenerationRequest, sink: Sink) -> None:
    sink.emit([Delta("Well, ")])
    await asyncio.Event().wait()


def ends(events: list[Event]) -> list[Event]:
    return [event for event in events if isinstance(event, Completed | Cancelled | Failed)]


async def test_an_answer_is_a_log_from_started_to_completed(engine: Engine) -> None:
    """Every reader sees `started`, the pieces, and one end; usage is estimated where nobody counted."""
    engine.add(Scripted(say_hello))
    stream = await engine.start()
    started, *rest = await engine.events(stream)
    assert isinstance(started, Started)
    assert rest == [Delta("Hel"), Delta("lo"), Completed("stop", Usage(1, 2, 3, estimated=True))]


async def test_an_answer_outlives_its_readers(engine: Engine) -> None:
    """Nobody has to be connected for a generation to go on, or to come back to it."""
    engine.add(Scripted(say_hello))
    stream = await engine.start()
    await eventually(lambda: bool(engine.observer.of(GenerationEnded)))
    assert (await engine.service.snapshot(stream, ANNA)).text == "Hello"


async def test_a_reader_resumes_at_any_cursor(engine: Engine) -> None:
    """From whichever position a reader comes back, it sees exactly what follows."""
    engine.add(Scripted(say_hello))
    stream = await engine.start()
    entries = await engine.entries(stream)
    for index, entry in enumerate(entries[:-1]):
        assert await engine.entries(stream, after=entry.cursor) == entries[index + 1 :]


async def test_an_unknown_model_starts_nothing(engine: Engine) -> None:
    """A wrong model is named, and no stream is made."""
    with pytest.raises(ModelNotFound) as caught:
        await engine.start(model="nope")
    assert caught.value.param == "model"
    assert await engine.service.list(ANNA, status=None, before=None, limit=10) == ([], False)


async def test_a_typed_failure_ends_the_stream_with_its_code(engine: Engine) -> None:
    """What the provider failed with stands in the log, after what it had said."""

    async def break_off(request: GenerationRequest, sink: Sink) -> None:
        sink.emit([Delta("a")])
        raise UpstreamUnreachable("gone")

    engine.add(Scripted(break_off))
    events = await engine.events(await engine.start())
    info = ErrorInfo("upstream_error", "upstream_unreachable", "gone")
    assert events[1:] == [Delta("a"), Failed(info, Usage(1, 1, 2, estimated=True))]


async def test_a_bug_in_a_provider_ends_the_stream_without_its_words(engine: Engine) -> None:
    """An exception is told to the operator with its stream, and to clients only by its kind."""

    async def trip(request: GenerationRequest, sink: Sink) -> None:
        raise ValueError("secret")

    engine.add(Scripted(trip))
    (end,) = ends(await engine.events(await engine.start()))
    assert isinstance(end, Failed)
    assert (end.error.code, "secret" in end.error.message) == ("provider_error", False)
    assert str(engine.failures()["provider"]) == "secret"


async def test_a_provider_that_gives_up_as_cancelled_still_ends_its_stream(engine: Engine) -> None:
    """A cancellation that nobody asked for, from inside a provider, is an end like any other failure."""

    async def lose_heart(request: GenerationRequest, sink: Sink) -> None:
        sink.emit([Delta("a")])
        raise asyncio.CancelledError

    engine.add(Scripted(lose_heart))
    events = await engine.events(await engine.start())
    assert isinstance(events[-1], Failed)
    assert events[-1].error.code == "interrupted"


class Rage(BaseException):
    """What no `except Exception` catches."""


@pytest.mark.parametrize("raised", [Rage, KeyboardInterrupt, SystemExit, GeneratorExit])
async def test_nothing_a_provider_raises_gets_past_its_stream(engine: Engine, raised: type[BaseException]) -> None:
    """A user's code can neither stop the server nor leave a stream that never ends."""

    async def rage(request: GenerationRequest, sink: Sink) -> None:
        raise raised

    engine.add(Scripted(rage), max_concurrency=1, max_queue=0)
    (end,) = ends(await engine.events(await engine.start()))
    assert isinstance(end, Failed)
    assert raised.__name__ in end.error.message
    await eventually(lambda: bool(engine.observer.of(GenerationEnded)))
    await engine.start()


async def test_a_provider_that_never_stops_gives_its_place_away() -> None:
    """A hanging clean-up holds up the queue for a bounded time, and is told to the operator."""
    engine = Engine(timing=Timing(stop=0.02))
    let_go = asyncio.Event()

    async def cling(request: GenerationRequest, sink: Sink) -> None:
        sink.emit([Completed("stop", Usage(0, 0, 0))])
        while not let_go.is_set():
            with suppress(asyncio.CancelledError):
                await let_go.wait()

    engine.add(Scripted(cling), max_concurrency=1, max_queue=1)
    await engine.start()
    second = await engine.start()
    await eventually(lambda: (engine.models["m"].admission.waiting) == 0)
    assert isinstance(engine.failures()["provider"], TimeoutError)
    let_go.set()
    await engine.events(second)


async def test_an_engine_can_be_opened_again(engine: Engine) -> None:
    """An application whose lifespan runs twice, as in a test suite, serves twice."""
    engine.add(Scripted(say_hello))
    await engine.events(await engine.start())
    await engine.service.drain(0)
    await engine.service.close()
    await engine.service.open()
    await engine.service.expire(-1)
    assert len(await engine.events(await engine.start())) == 4


async def test_leaving_while_the_server_drains_is_leaving(engine: Engine) -> None:
    """A departure that the server has not asked for cancels, also when the server is about to stop."""
    provider = Scripted(hang)
    engine.add(provider)
    stream = await engine.start(grace=0)
    reader = await engine.follow(stream)
    await eventually(lambda: provider.running == 1)
    drain = asyncio.create_task(engine.service.drain(30))
    await asyncio.sleep(0)
    reader.close()
    await drain
    assert provider.cancelled == 1


async def test_a_store_that_breaks_ends_what_it_can(engine: Engine) -> None:
    """When the engine itself fails, the generation is over, its place is free, and the operator is told."""

    async def refuse(fence: object) -> None:
        raise OSError("disk on fire")

    provider = Scripted(say_hello)
    engine.add(provider, max_concurrency=1, max_queue=1)
    engine.store.mark_running = refuse  # type: ignore[method-assign]
    await engine.start()
    (end,) = ends(await engine.events(await engine.start()))
    assert isinstance(end, Failed)
    assert end.error.code == "internal_error"
    assert str(engine.failures()["streams"]) == "disk on fire"
    await eventually(lambda: len(engine.observer.of(GenerationEnded)) == 2)
    assert await engine.events(await engine.start())


async def test_the_store_is_asked_once_to_begin(engine: Engine) -> None:
    """Whose turn comes at once is recorded as running; whoever waits is queued, and marked when its turn has come."""
    marked: list[str] = []
    mark_running = engine.store.mark_running

    async def note(fence: Fence) -> None:
        marked.append(fence.stream)
        await mark_running(fence)

    engine.store.mark_running = note  # type: ignore[method-assign]
    provider = Scripted(hang)
    engine.add(provider, max_concurrency=1)
    first, second = await engine.start(), await engine.start()
    await eventually(lambda: provider.asked == 1)
    statuses = [(await engine.service.snapshot(stream, ANNA)).status for stream in (first, second)]
    assert statuses == ["running", "queued"]
    await engine.service.cancel(first, ANNA, None)
    await eventually(lambda: provider.asked == 2)
    assert (await engine.service.snapshot(second, ANNA)).status == "running"
    assert marked == [second]


@pytest.mark.parametrize("events", [[Delta("\ud83d")], [Completed("stop", Usage(1, 10**4300, 1))]], ids=["text", "end"])
async def test_events_that_no_store_can_keep_end_the_stream(engine: Engine, events: list[Content | Completed]) -> None:
    """Half a character, a number too long to be written: the stream fails with what was kept, and frees its place."""

    async def play(request: GenerationRequest, sink: Sink) -> None:
        sink.emit([Delta("kept")])
        sink.emit(events)

    engine.add(Scripted(play), max_concurrency=1)
    first, second = await engine.start(), await engine.start()
    for stream in (first, second):
        _, kept, end = await engine.events(stream)
        assert kept == Delta("kept")
        assert isinstance(end, Failed)
        assert end.error.code == "provider_error"


async def test_a_failure_before_the_first_token_keeps_its_status(engine: Engine) -> None:
    """Who waits for the provider's yes gets its no, with the status it had."""

    async def refuse(request: GenerationRequest, sink: Sink) -> None:
        raise UpstreamRefused("slow down", type="rate_limit_error", status=429, retry_after=2)

    engine.add(Scripted(refuse))
    handle = await engine.service.start(request(), owner=ANNA, grace=None)
    with pytest.raises(UpstreamRefused) as caught:
        await engine.service.answered(handle)
    assert (caught.value.status, caught.value.retry_after) == (429, 2)


async def test_a_cancel_ends_the_stream_and_stops_the_provider(engine: Engine) -> None:
    """A cancelled stream has what was said, the usage so far, and a provider that works no more."""
    provider = Scripted(hang)
    engine.add(provider)
    stream = await engine.start()
    await eventually(lambda: provider.running == 1)
    status, cursor = await engine.service.cancel(stream, ANNA, "enough")
    events = await engine.events(stream)
    assert events[1:] == [Delta("Well, "), Cancelled("client", "enough", Usage(1, 1, 2, estimated=True))]
    assert (status, cursor.offset) == ("cancelled", 3)
    await eventually(lambda: provider.cancelled == 1)


@pytest.mark.parametrize(("viewer", "by"), [(ANNA, "client"), (ADMIN, "server")])
@pytest.mark.parametrize("forgotten", [False, True])
async def test_cancelled_by_server_is_an_admins_doing(
    engine: Engine, viewer: Principal, by: str, forgotten: bool
) -> None:
    """`cancelled.by` is `client` where the owner cancels or deletes, `server` where an admin does."""
    engine.add(Scripted(hang))
    stream = await engine.start()
    events = asyncio.create_task(engine.events(stream))
    await eventually(lambda: engine.service.readers.of(stream))
    await (engine.service.forget(stream, viewer) if forgotten else engine.service.cancel(stream, viewer, None))
    end = (await events)[-1]
    assert isinstance(end, Cancelled)
    assert end.by == by


async def test_a_cancel_after_the_end_answers_with_that_end(engine: Engine) -> None:
    """Cancelling is idempotent, and never takes back a completion."""
    engine.add(Scripted(say_hello))
    stream = await engine.start()
    await engine.events(stream)
    assert (await engine.service.cancel(stream, ANNA, None))[0] == "completed"


async def test_whoever_ends_first_wins_and_nothing_follows(engine: Engine) -> None:
    """Cancel racing completion at every turn of the loop: one terminal event, the last of the log."""

    async def talk(request: GenerationRequest, sink: Sink) -> None:
        for _ in range(10):
            sink.emit([Delta("x")])
            await asyncio.sleep(0)

    engine.add(Scripted(talk))
    seen: set[str] = set()
    for turns in range(25):
        stream = await engine.start()
        for _ in range(turns):
            await asyncio.sleep(0)
        status, cursor = await engine.service.cancel(stream, ANNA, None)
        entries = await engine.entries(stream)
        assert len(ends([entry.event for entry in entries])) == 1
        assert entries[-1].cursor == cursor
        seen.add(status)
    assert seen == {"cancelled", "completed"}


async def test_a_provider_that_ignores_its_cancel_cannot_write_on(engine: Engine) -> None:
    """After its end a stream takes nothing from its provider."""
    goes_on = asyncio.Event()

    async def stubborn(request: GenerationRequest, sink: Sink) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            sink.emit([Delta("late"), Completed("stop", Usage(0, 0, 0))])
            goes_on.set()

    provider = Scripted(stubborn)
    engine.add(provider)
    stream = await engine.start()
    await eventually(lambda: provider.running == 1)
    await engine.service.cancel(stream, ANNA, None)
    await goes_on.wait()
    assert len(await engine.events(stream)) == 2


async def test_what_a_provider_emits_after_its_end_is_dropped(engine: Engine) -> None:
    """`Completed` is the last event, also within one burst."""

    async def chatter(request: GenerationRequest, sink: Sink) -> None:
        sink.emit([Delta("a"), Completed("length", Usage(1, 1, 2))])
        sink.emit([Delta("b")])
        sink.emit([Completed("stop", Usage(1, 2, 3))])

    engine.add(Scripted(chatter))
    events = await engine.events(await engine.start())
    assert events[1:] == [Delta("a"), Completed("length", Usage(1, 1, 2))]


async def test_a_generation_that_is_too_long_ends_so() -> None:
    """Past `max_generation_bytes` the stream fails as `too_long`, and its provider is stopped."""

    async def endless(request: GenerationRequest, sink: Sink) -> None:
        while True:
            sink.emit([Delta("x" * 100)])
            await asyncio.sleep(0)

    engine = Engine(max_generation_bytes=1000)
    provider = Scripted(endless)
    engine.add(provider)
    events = await engine.events(await engine.start())
    assert isinstance(events[-1], Failed)
    assert events[-1].error.code == "too_long"
    await eventually(lambda: provider.running == 0)


@pytest.mark.parametrize("grace", [0, 0.05])
async def test_an_abandoned_answer_is_cancelled_after_its_grace(engine: Engine, grace: float) -> None:
    """When the last owner reader has left and the grace is over, the provider stops."""
    provider = Scripted(hang)
    engine.add(provider)
    stream = await engine.start(grace=grace)
    first, second = await engine.follow(stream), await engine.follow(stream)
    await eventually(lambda: provider.running == 1)
    first.close()
    assert provider.cancelled == 0
    second.close()
    await eventually(lambda: provider.cancelled == 1)
    end = (await engine.events(stream))[-1]
    assert isinstance(end, Cancelled)
    assert end.by == "disconnect"


async def test_a_reader_that_returns_in_time_saves_the_answer(engine: Engine) -> None:
    """Coming back within the grace stops the clock."""
    provider = Scripted(hang)
    engine.add(provider)
    stream, left_later = await engine.start(grace=0.03), await engine.start(grace=0.03)
    await eventually(lambda: provider.running == 2)
    (await engine.follow(stream)).close()
    back = await engine.follow(stream)
    (await engine.follow(left_later)).close()
    await eventually(lambda: provider.cancelled == 1)
    assert (await engine.store.look(left_later)).record.end is not None
    assert (await engine.store.look(stream)).record.end is None
    back.close()
    await eventually(lambda: provider.cancelled == 2)


@pytest.mark.parametrize("scopes", [("admin",), ("admin", "read", "cancel")])
async def test_viewers_do_not_keep_an_answer_alive(engine: Engine, scopes: tuple[Scope, ...]) -> None:
    """Only owner readers count: an admin who looks on neither keeps nor cancels, whatever else it may do."""
    provider = Scripted(hang)
    engine.add(provider)
    stream = await engine.start(grace=0)
    viewer = await engine.follow(stream, viewer=Principal("key:root", frozenset(scopes)))
    owner = await engine.follow(stream)
    await eventually(lambda: provider.running == 1)
    owner.close()
    await eventually(lambda: provider.cancelled == 1)
    viewer.close()


async def test_an_answer_kept_is_kept(engine: Engine) -> None:
    """With `keep`, no departure ends a generation."""
    provider = Scripted(hang)
    engine.add(provider)
    stream = await engine.start(grace=None)
    (await engine.follow(stream)).close()
    assert (await engine.store.look(stream)).record.end is None


async def test_one_key_starts_one_generation(engine: Engine) -> None:
    """Twenty requests with one idempotency key cost one generation, and all lead to it."""
    provider = Scripted(say_hello)
    engine.add(provider)
    claim = Claim("k", b"1")
    handles = await asyncio.gather(
        *(engine.service.start(request(), owner=ANNA, grace=None, claim=claim) for _ in range(20))
    )
    assert len({handle.stream for handle in handles}) == 1
    await engine.events(handles[0].stream)
    assert provider.asked == 1
    with pytest.raises(IdempotencyMismatch):
        await engine.service.start(request(), owner=ANNA, grace=None, claim=Claim("k", b"2"))


async def test_beyond_max_concurrency_generations_wait_their_turn(single: Engine) -> None:
    """The queue is first come, first served; who waits is told its place; who is too many is refused."""
    provider = Scripted(hang)
    single.add(provider, max_concurrency=1, max_queue=2)
    running, first, second = [await single.start() for _ in range(3)]
    await eventually(lambda: provider.running == 1)
    with pytest.raises(QueueFull) as caught:
        await single.start()
    assert caught.value.retry_after
    for stream, status, position in ((running, "running", None), (first, "queued", 1), (second, "queued", 2)):
        snapshot = await single.service.snapshot(stream, ANNA)
        assert (snapshot.status, snapshot.queue_position) == (status, position)
    await single.service.cancel(running, ANNA, None)
    await eventually(lambda: provider.asked == 2)
    assert (await single.service.snapshot(first, ANNA)).status == "running"
    assert (await single.service.snapshot(second, ANNA)).queue_position == 1


async def test_what_waits_can_be_cancelled_without_ever_being_asked(engine: Engine) -> None:
    """A cancelled place in the queue costs the provider nothing and is free for the next."""
    provider = Scripted(hang)
    engine.add(provider, max_concurrency=1, max_queue=1)
    running = await engine.start()
    await eventually(lambda: provider.running == 1)
    waiting = await engine.start()
    assert (await engine.service.cancel(waiting, ANNA, None))[0] == "cancelled"
    await eventually(lambda: engine.models["m"].admission.waiting == 0)
    again = await engine.start()
    await engine.service.cancel(running, ANNA, None)
    await eventually(lambda: provider.asked == 2)
    assert (await engine.service.snapshot(again, ANNA)).status == "running"


async def test_one_caller_cannot_have_the_whole_queue(single: Engine) -> None:
    """Who comes to a queue that somebody else has filled is let in, and their newest fails as if it had come later."""
    provider = Scripted(hang)
    single.add(provider, max_concurrency=1, max_queue=2)
    anna, bert = (msgspec.structs.replace(who, account=who.name) for who in (ANNA, BERT))
    _, second, third = [await single.start(owner=anna) for _ in range(3)]
    fourth = await single.start(owner=bert)
    assert (await single.service.snapshot(second, anna)).queue_position == 1
    assert (await single.service.snapshot(fourth, bert)).queue_position == 2
    (end,) = ends(await single.events(third))
    assert isinstance(end, Failed)
    assert end.error.code == "queue_full"
    with pytest.raises(QueueFull):
        await single.start(owner=anna)


async def test_another_ones_stream_is_not_there(engine: Engine) -> None:
    """Others get `not found`, not `forbidden`; admins see everything."""
    engine.add(Scripted(hang))
    stream = await engine.start(owner=ANNA)
    for call in (
        engine.service.snapshot(stream, BERT),
        engine.service.cancel(stream, BERT, None),
        engine.service.forget(stream, BERT),
        engine.follow(stream, viewer=BERT),
        engine.service.at_end(stream, BERT, None),
    ):
        with pytest.raises(StreamNotFound):
            await call
    assert (await engine.service.snapshot(stream, ADMIN)).id == stream
    assert await engine.service.list(BERT, status=None, before=None, limit=10) == ([], False)


async def test_a_forgotten_stream_ends_for_its_readers_first(engine: Engine) -> None:
    """Readers of a stream that is deleted see a typed end; then it is gone."""
    engine.add(Scripted(hang))
    stream = await engine.start()
    reading = asyncio.create_task(engine.events(stream))
    await eventually(lambda: bool(engine.service.readers.attached))
    await engine.service.forget(stream, ANNA)
    assert isinstance((await reading)[-1], Cancelled)
    with pytest.raises(StreamNotFound):
        await engine.service.snapshot(stream, ANNA)


async def test_the_text_of_a_reader_far_behind_may_be_merged(engine: Engine) -> None:
    """The pieces that a live reader missed come together, to be made one; a replay keeps the provider's own."""

    async def burst(request: GenerationRequest, sink: Sink) -> None:
        await asyncio.sleep(0)
        sink.emit([Delta("x") for _ in range(300)])

    engine.add(Scripted(burst))
    stream = await engine.start()
    live = await mergeable_entries(await engine.follow(stream))
    assert merge(live)[0].event == Delta("x" * 300)
    assert await mergeable_entries(await engine.follow(stream)) == []


async def mergeable_entries(reader: Reader) -> list[Entry]:
    found = [entry async for entry in until_end(reader) if reader.mergeable]
    reader.close()
    return found


async def test_batches_are_delivered_when_full_when_late_and_at_the_end(engine: Engine) -> None:
    """Micro-batching shapes one reader's delivery; the log keeps the pieces."""
    gate = asyncio.Event()

    async def drip(request: GenerationRequest, sink: Sink) -> None:
        for _ in range(3):
            sink.emit([Delta("x")])
            await asyncio.sleep(0)
        await gate.wait()
        sink.emit([Delta("y")])

    engine.add(Scripted(drip))
    stream = await engine.start()
    reader = await engine.service.follow(stream, ANNA, after=None, batch=BatchPolicy(100, 20), transport="sse")
    first = await reader.next(5)
    assert [type(entry.event) for entry in first] == [Started]  # type: ignore[union-attr]
    late = await reader.next(5)
    assert [entry.event for entry in late] == [Delta("x")] * 3  # type: ignore[union-attr]
    assert reader.mergeable
    gate.set()
    last = await reader.next(5)
    assert [type(entry.event) for entry in last] == [Delta, Completed]  # type: ignore[union-attr]
    reader.close()


async def test_silence_is_told_so_that_a_heartbeat_can_be_sent(engine: Engine) -> None:
    """A reader that has nothing to yield for so long says so, and goes on."""
    engine.add(Scripted(hang))
    stream = await engine.start()
    reader = await engine.follow(stream)
    await reader.next(5)
    while await reader.next(0.02):
        pass
    assert not reader.left
    reader.close()
    assert await reader.next(5) is None


async def test_a_drain_refuses_finishes_and_ends(engine: Engine) -> None:
    """New generations are refused, quick ones finish, slow ones end as interrupted, readers see it."""
    quick = asyncio.Event()

    async def finish(request: GenerationRequest, sink: Sink) -> None:
        await quick.wait()
        sink.emit([Delta("done")])

    engine.add(Scripted(finish), "quick")
    engine.add(Scripted(hang), "slow")
    done, stuck = await engine.start(model="quick"), await engine.start(model="slow", grace=0)
    readings = [asyncio.create_task(engine.events(stream)) for stream in (done, stuck)]
    await eventually(lambda: len(engine.service.readers.attached) == 2)
    drain = asyncio.create_task(engine.service.drain(0.1))
    await asyncio.sleep(0)
    with pytest.raises(Draining):
        await engine.start(model="quick")
    quick.set()
    await drain
    completed, interrupted = [(await reading)[-1] for reading in readings]
    assert isinstance(completed, Completed)
    assert isinstance(interrupted, Failed)
    assert interrupted.error.code == "interrupted"


async def test_readers_that_stay_are_asked_to_reconnect(single: Engine) -> None:
    """Whoever is still attached when the server goes is told to come back, and when; nothing is cancelled for it."""
    single.add(Scripted(say_hello))
    stream = await single.start()
    reader = await single.follow(stream)
    reading = asyncio.create_task(single.service.drain(0))
    await eventually(lambda: reader.told)
    reader.close()
    await reading
    (left,) = single.observer.of(ReaderLeft)
    assert isinstance(left, ReaderLeft)
    assert left.reason == "asked"


async def test_what_ended_long_ago_is_forgotten(engine: Engine) -> None:
    """Retention is counted from the stream's end."""
    engine.add(Scripted(say_hello))
    stream = await engine.start()
    await engine.events(stream)
    await engine.service.expire(3600)
    await engine.service.snapshot(stream, ANNA)
    await engine.service.expire(-1)
    with pytest.raises(StreamNotFound):
        await engine.service.snapshot(stream, ANNA)


async def test_closing_ends_everything_at_once(single: Engine) -> None:
    """A server that is stopped leaves no task, no reader and no provider behind."""
    provider = Scripted(hang)
    single.add(provider)
    stream = await single.start()
    reader = await single.follow(stream)
    await single.models["m"].start()
    await single.service.close()
    assert provider.closed
    assert provider.running == 0
    assert reader.left


async def test_a_provider_that_does_not_stop_keeps_no_place_of_its_caller() -> None:
    """A server that cannot wait for it any longer, and is opened again, serves its caller as before."""
    let_go = asyncio.Event()

    async def cling(request: GenerationRequest, sink: Sink) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await let_go.wait()

    engine = Engine(quotas=lambda cluster: Quotas(cluster, generations=1, clock=monotonic), timing=Timing(parting=0.01))
    provider = Scripted(cling)
    engine.add(provider)
    for asked in (1, 2):
        await engine.service.open()
        await engine.start()
        await eventually(lambda asked=asked: provider.asked == asked)
        await engine.service.close()
    let_go.set()


class Charged:
    """An engine whose caller has a thousand tokens and no more."""

    def __init__(self) -> None:
        self.bucket = Buckets(1e-9, 1000)
        self.engine = Engine(quotas=lambda cluster: Quotas(cluster, tokens=self.bucket, clock=lambda: 0.0))

    def left(self) -> int:
        return round(self.bucket.of(ANNA.account, 0.0).level(0.0))

    async def usage(self, stream: str) -> Usage:
        (end,) = ends(await self.engine.events(stream))
        await eventually(lambda: bool(self.engine.observer.of(GenerationEnded)))
        return end.usage  # type: ignore[union-attr]


LONG = (Message(role="user", content="x" * 400),)
NOTHING = Usage(0, 0, 0, estimated=True)


async def test_what_waits_has_cost_nothing() -> None:
    """A prompt that no model was given is neither in the usage nor on the account."""
    charged = Charged()
    charged.engine.add(Scripted(hang), max_concurrency=1)
    await charged.engine.start(max_tokens=1)
    waiting = await charged.engine.start(messages=LONG, max_tokens=1)
    before = charged.left()
    await charged.engine.service.cancel(waiting, ANNA, None)
    assert await charged.usage(waiting) == NOTHING
    assert charged.left() == before + 101


@pytest.mark.parametrize(
    ("error", "usage"),
    [
        (UpstreamUnreachable("gone"), NOTHING),
        (UpstreamRefused("no", type="invalid_request_error", status=400), NOTHING),
        (UpstreamTimeout("late"), Usage(100, 0, 100, estimated=True)),
    ],
)
async def test_a_prompt_that_no_model_has_read_costs_nothing(error: TidegateError, usage: Usage) -> None:
    """An upstream that was not reached, or has refused, is not paid for; one that is silent may be at work."""

    async def fail(request: GenerationRequest, sink: Sink) -> None:
        raise error

    charged = Charged()
    charged.engine.add(Scripted(fail))
    assert await charged.usage(await charged.engine.start(messages=LONG, max_tokens=1)) == usage
    assert charged.left() == 1000 - usage.total_tokens
