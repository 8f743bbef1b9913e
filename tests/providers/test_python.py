from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from eventually_kit import eventually
from msgspec import Raw

from tidegate.core.events import (
    Completed,
    Delta,
    Extra,
    GenerationRequest,
    Message,
    Reasoning,
    ToolCall,
    Usage,
    encode,
)
from tidegate.errors import ConfigError, ProviderError
from tidegate.providers.python import PythonProvider
from tidegate.providers.settings import PythonModel
from tidegate.testing.sink import INBOX_CAPACITY, RecordingSink

pytestmark = pytest.mark.anyio

REQUEST = GenerationRequest(model="agent", messages=(Message(role="user", content="How high?"),))
END = Completed("length", Usage(1, 2, 3))
PIECES = [Reasoning("hm"), Delta("a"), ToolCall(0, "1", "gauge", "{}"), END]


async def started(target: Any) -> PythonProvider:
    provider = PythonProvider(PythonModel(name="agent", target=target))
    await provider.start()
    return provider


async def answered(target: Any, sink: RecordingSink | None = None) -> RecordingSink:
    sink = sink or RecordingSink()
    provider = await started(target)
    async with asyncio.timeout(10):
        await provider.generate(REQUEST, sink)
    await provider.close()
    return sink


def asynchronous(*pieces: object) -> Callable[[GenerationRequest], AsyncIterator[object]]:
    async def target(request: GenerationRequest) -> AsyncIterator[object]:
        for piece in pieces:
            yield piece

    return target


def synchronous(*pieces: object) -> Callable[[GenerationRequest], Iterator[object]]:
    def target(request: GenerationRequest) -> Iterator[object]:
        yield from pieces

    return target


both = pytest.mark.parametrize("kind", [asynchronous, synchronous])


@both
async def test_text_becomes_deltas(kind: Any) -> None:
    """The shortest model there is yields its words; empty ones are none."""
    sink = await answered(kind("The tide ", "", "is high."))
    assert sink.events == [Delta("The tide "), Delta("is high.")]


@both
async def test_events_pass(kind: Any) -> None:
    """Reasoning, tool calls and an end of its own pass as they are."""
    assert (await answered(kind(*PIECES))).events == PIECES


@both
async def test_json_beside_a_text_is_put_on_one_line(kind: Any) -> None:
    """What a function passes on as it came may be written with line breaks, which would break its event in pieces."""
    spaced = Raw(b'{\n\n"a":1.50,\r\n"b":"\\n"}')
    sink = await answered(kind(Delta("x", Extra(chunk=spaced)), Completed("stop", Usage(1, 1, 2, details=spaced))))
    delta, end = map(encode, sink.events)
    assert delta == b'{"type":"delta","text":"x","extra":{"chunk":{"a":1.50,"b":"\\n"}}}'
    assert b'"details":{"a":1.50,"b":"\\n"}' in end
    assert b"\n" not in end


@both
async def test_nothing_is_taken_after_the_end(kind: Any) -> None:
    """Its `Completed` is the end, whatever the function had in mind to say after it."""
    sink = await answered(kind("a", END, "b", 1))
    assert sink.events == [Delta("a"), END]
    assert sink.dropped == 0


class Words(str):
    """What some libraries call text."""


@both
async def test_subclasses_of_str_are_text(kind: Any) -> None:
    """Text of a library's own type is kept as plain text, which is what a log can hold."""
    sink = await answered(kind(Words("high")))
    assert [type(event.text) for event in sink.events if isinstance(event, Delta)] == [str]


@both
@pytest.mark.parametrize(
    ("piece", "told"),
    [
        (1, "piece of type int"),
        (None, "piece of type NoneType"),
        (b"bytes", "piece of type bytes"),
        ({"text": "a"}, "piece of type dict"),
        ("\ud83c", "cannot be kept"),
        (Delta(5), "cannot be kept"),  # type: ignore[arg-type]
        (ToolCall("first"), "cannot be kept"),  # type: ignore[arg-type]
        (Delta("a", Extra(chunk=Raw(b'{"b":"\n"}'))), "cannot be kept"),
    ],
)
async def test_anything_else_is_refused(kind: Any, piece: object, told: str) -> None:
    """A piece that is no part of an answer ends it, and the message says what it was; what came before is kept."""
    sink = RecordingSink()
    with pytest.raises(ProviderError, match=told) as failed:
        await answered(kind("before", piece, "after"), sink)
    assert "'agent'" in failed.value.message
    assert sink.events == [Delta("before")]


@pytest.mark.parametrize("answer", ["text", None, ["a", "b"], 7])
async def test_answer_that_is_no_iterator_is_refused(answer: object) -> None:
    """A function that returns its answer instead of yielding it is told so."""
    with pytest.raises(ProviderError, match=f"answered with {type(answer).__name__}"):
        await answered(lambda request: answer)


async def test_coroutine_may_return_the_iterator() -> None:
    """A function may first await what it needs, then hand back the iterator of another."""

    async def target(request: GenerationRequest) -> AsyncIterator[object]:
        await asyncio.sleep(0)
        return asynchronous("a")(request)

    assert (await answered(target)).text == "a"


async def test_iterator_need_not_be_a_generator() -> None:
    """Any object with `__aiter__`, or with `__next__`, will do, and so will any callable."""

    class Counting:
        def __init__(self) -> None:
            self.left = 3

        def __call__(self, request: GenerationRequest) -> Counting:
            return Counting()

        def __aiter__(self) -> Counting:
            return self

        async def __anext__(self) -> str:
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return str(self.left)

    assert (await answered(Counting())).text == "210"
    assert (await answered(lambda request: iter(["a", "b"]))).text == "ab"


async def test_function_gets_the_request() -> None:
    """Everything that was asked for is there to look at."""

    async def target(request: GenerationRequest) -> AsyncIterator[str]:
        yield request.prompt

    assert (await answered(target)).text == "How high?"


class Flood(Exception):
    pass


@both
async def test_exception_of_the_function_is_raised_as_it_is(kind: Any) -> None:
    """The log shows the author's own exception; what was said before it stays said."""
    pieces = kind("a")

    async def async_target(request: GenerationRequest) -> AsyncIterator[object]:
        async for piece in pieces(request):
            yield piece
        raise Flood

    def sync_target(request: GenerationRequest) -> Iterator[object]:
        yield from pieces(request)
        raise Flood

    sink = RecordingSink()
    with pytest.raises(Flood):
        await answered(async_target if kind is asynchronous else sync_target, sink)
    assert sink.events == [Delta("a")]


@both
async def test_exit_ends_the_answer_not_the_server(kind: Any) -> None:
    """A function that calls `sys.exit` fails alone."""

    async def async_target(request: GenerationRequest) -> AsyncIterator[object]:
        yield "a"
        sys.exit(3)

    def sync_target(request: GenerationRequest) -> Iterator[object]:
        yield "a"
        sys.exit(3)

    with pytest.raises(ProviderError, match="exit"):
        await answered(async_target if kind is asynchronous else sync_target)


async def test_plain_generator_may_block() -> None:
    """It runs in its own thread: while it blocks, the loop runs on."""
    go = threading.Event()
    threads: list[str] = []

    def target(request: GenerationRequest) -> Iterator[str]:
        threads.append(threading.current_thread().name)
        assert go.wait(10)
        yield "a"

    provider, sink = await started(target), RecordingSink()
    task = asyncio.create_task(provider.generate(REQUEST, sink))
    await asyncio.sleep(0)
    go.set()
    await asyncio.wait_for(task, 10)
    assert sink.text == "a"
    assert threads == ["tidegate-answer"]


async def test_many_plain_generators_block_at_once() -> None:
    """No pool limits how many slow answers run: each has its thread."""
    together = threading.Barrier(50, timeout=10)

    def target(request: GenerationRequest) -> Iterator[str]:
        together.wait()
        yield "a"

    provider = await started(target)
    sinks = [RecordingSink() for _ in range(50)]
    await asyncio.gather(*(provider.generate(REQUEST, sink) for sink in sinks))
    assert [sink.text for sink in sinks] == ["a"] * 50


async def test_plain_generator_sees_the_context_of_its_request() -> None:
    """Context variables (a trace, a user) reach its thread."""
    user = contextvars.ContextVar("user", default="nobody")
    user.set("anna")

    def target(request: GenerationRequest) -> Iterator[str]:
        yield user.get()

    assert (await answered(target)).text == "anna"


async def test_plain_generator_cannot_run_ahead() -> None:
    """A fast native library waits when the stream does not keep up."""
    given = 0

    def target(request: GenerationRequest) -> Iterator[str]:
        nonlocal given
        for _ in range(10 * INBOX_CAPACITY):
            given += 1
            yield "a"

    provider, sink = await started(target), RecordingSink()
    sink.inbox().pause()
    task = asyncio.create_task(provider.generate(REQUEST, sink))
    await eventually(lambda: given > INBOX_CAPACITY)
    assert given == INBOX_CAPACITY + 1
    sink.inbox().resume()
    await asyncio.wait_for(task, 10)
    assert len(sink.text) == 10 * INBOX_CAPACITY


async def test_function_that_never_waits_leaves_the_loop_its_turns() -> None:
    """An async generator without a single await does not stop everyone else's streams."""
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await answered(asynchronous(*["a"] * 1000))
    task.cancel()
    assert turns >= 10


class Tracked:
    """An async generator function that notes how it ends."""

    def __init__(self, *, stubborn: bool = False) -> None:
        self.closed = False
        self.stubborn = stubborn

    async def __call__(self, request: GenerationRequest) -> AsyncIterator[str]:
        try:
            yield "a"
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not self.stubborn:
                    raise
            while True:
                yield "b"
        finally:
            self.closed = True


class Waiting:
    """The same as an object, without `aclose`."""

    def __aiter__(self) -> Waiting:
        return self

    async def __anext__(self) -> str:
        return "a"


async def cancelled_after_first(target: Any) -> RecordingSink:
    provider, sink = await started(target), RecordingSink()
    task = asyncio.create_task(provider.generate(REQUEST, sink))
    await sink.holds(1)
    async with asyncio.timeout(1):
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    return sink


async def test_cancel_runs_the_finally_of_an_async_generator() -> None:
    """What the function holds (a connection, a lock) is freed before `generate` has left."""
    target = Tracked()
    await cancelled_after_first(target)
    assert target.closed


async def test_cancel_is_not_to_be_swallowed() -> None:
    """A function that catches the cancellation and goes on is closed at its next piece, which nobody gets."""
    target = Tracked(stubborn=True)
    sink = await cancelled_after_first(target)
    assert target.closed
    assert sink.text == "a"


async def test_cancel_while_the_store_is_full() -> None:
    """Cancelled between two pieces, the generator is closed all the same."""

    class FullSink(RecordingSink):
        async def room(self) -> None:
            await asyncio.Event().wait()

    target = Tracked()
    provider, sink = await started(target), FullSink()
    task = asyncio.create_task(provider.generate(REQUEST, sink))
    await sink.holds(1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert target.closed


async def test_iterator_without_aclose_is_just_left() -> None:
    """Closing is asked of those that can be closed."""
    await cancelled_after_first(lambda request: Waiting())


async def test_generator_is_closed_after_its_completed() -> None:
    """What comes after the end does not run, but its `finally` does, with the answer still under way."""
    closed: list[bool] = []

    async def target(request: GenerationRequest) -> AsyncIterator[object]:
        try:
            yield END
            closed.append(False)
        finally:
            closed.append(True)

    await answered(target)
    assert closed == [True]


async def test_cancel_closes_a_plain_generator_at_its_next_piece() -> None:
    """Nothing can interrupt a native call, but after it the generator is closed and its `finally` runs."""
    go, closed = threading.Event(), threading.Event()

    def target(request: GenerationRequest) -> Iterator[str]:
        try:
            yield "a"
            go.wait(10)
            yield "b"
        finally:
            closed.set()

    sink = await cancelled_after_first(target)
    assert not closed.is_set()
    go.set()
    assert await asyncio.to_thread(closed.wait, 10)
    assert sink.text == "a"


async def test_end_frees_a_plain_generator_that_waits_for_room() -> None:
    """A thread held up by a full stream is freed when that stream ends."""
    closed = threading.Event()

    def target(request: GenerationRequest) -> Iterator[str]:
        try:
            while True:
                yield "a"
        finally:
            closed.set()

    provider, sink = await started(target), RecordingSink()
    task = asyncio.create_task(provider.generate(REQUEST, sink))
    await sink.holds(1)
    sink.inbox().pause()
    task.cancel()
    await asyncio.wait([task])
    sink.end()
    assert await asyncio.to_thread(closed.wait, 10)


async def test_late_exception_of_a_thread_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """What a plain generator raises when nobody waits for it any more is not lost."""
    go = threading.Event()

    def target(request: GenerationRequest) -> Iterator[str]:
        yield "a"
        go.wait(10)
        raise Flood

    await cancelled_after_first(target)
    go.set()
    await eventually(lambda: caplog.records)
    assert caplog.records[0].exc_info
    assert caplog.records[0].exc_info[0] is Flood


# The target


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An importable directory; what it brought is forgotten again."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


async def test_target_is_imported_at_start(package: Path) -> None:
    """`module:attribute` names the function; the attribute may be dotted."""
    (package / "harbour").mkdir()
    (package / "harbour/agents.py").write_text(
        "async def answer(request):\n    yield 'aye'\n\nclass Master:\n    answer = staticmethod(answer)\n"
    )
    assert (await answered("harbour.agents:answer")).text == "aye"
    assert (await answered("harbour.agents:Master.answer")).text == "aye"


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("agents", "expected module:attribute"),
        ("agents:", "expected module:attribute"),
        (":answer", "expected module:attribute"),
        ("", "expected module:attribute"),
        ("nowhere_to_be_found:answer", "there is no module 'nowhere_to_be_found'"),
        ("nowhere_to_be_found.agents:answer", "there is no module 'nowhere_to_be_found'"),
        ("json.nowhere:answer", "there is no module 'json.nowhere'"),
        ("json:answer", "module 'json' has no attribute 'answer'"),
        ("json:decoder.answer", "module 'json' has no attribute 'decoder.answer'"),
        ("json:__name__", "of type str, which cannot be called"),
        (".relative:answer", "importing .relative raised TypeError"),
    ],
)
async def test_target_that_is_not_there_is_refused(target: str, problem: str) -> None:
    """A wrong target is found at start; the message names the model, the key and the value."""
    with pytest.raises(ConfigError) as refused:
        await started(target)
    assert refused.value.param == "target"
    assert f"model 'agent': target = {target!r}: " in refused.value.message
    assert problem in refused.value.message


@pytest.mark.parametrize(
    ("source", "problem", "cause"),
    [
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'", ModuleNotFoundError),
        ("raise ValueError('low water')", "importing broken raised ValueError: low water", ValueError),
        ("def answer(", "importing broken raised SyntaxError", SyntaxError),
        ("raise SystemExit(3)", "importing broken raised SystemExit: 3", SystemExit),
    ],
)
async def test_module_that_breaks_is_told_from_one_that_is_missing(
    package: Path, source: str, problem: str, cause: type[BaseException]
) -> None:
    """An error inside the user's module is shown as what it is, with its cause."""
    (package / "broken.py").write_text(source)
    with pytest.raises(ConfigError) as refused:
        await started("broken:answer")
    assert problem in refused.value.message
    assert isinstance(refused.value.__cause__, cause)


async def test_target_that_cannot_be_called_is_refused() -> None:
    """In Python too: a value in place of a function is found at start."""
    with pytest.raises(ConfigError, match="of type int, which cannot be called"):
        await started(5)
