from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from itertools import count

import pytest
from engine_kit import Recorder, Scripted, request

from tidegate.core.events import Delta, GenerationRequest
from tidegate.core.trace_context import TraceContext, current_trace
from tidegate.core.url import host_and_port
from tidegate.errors import ConfigError, ProviderError, UpstreamInterrupted, UpstreamTimeout, UpstreamUnreachable
from tidegate.observe.base import UpstreamAttempt
from tidegate.providers.base import Sink
from tidegate.providers.openai.provider import OpenAIProvider
from tidegate.providers.settings import OpenAIModel, Upstream
from tidegate.streams.attempts import Attempts, Candidate, drawn
from tidegate.testing.sink import RecordingSink
from tidegate.testing.upstream import FakeUpstream, chat

pytestmark = pytest.mark.anyio

TRACE = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", 1)


def fails(error: ProviderError, *, unasked: bool = False) -> Scripted:
    async def fail(request: GenerationRequest, sink: Sink) -> None:
        error.unasked = unasked
        raise error

    return Scripted(fail)


def dead() -> Scripted:
    return fails(UpstreamUnreachable("refused"), unasked=True)


def says(text: str) -> Scripted:
    async def say(request: GenerationRequest, sink: Sink) -> None:
        sink.emit([Delta(text)])

    return Scripted(say)


class Asked:
    """Attempts at the providers in the order given, at `a:1`, `b:1` and so on; each takes a quarter of a second."""

    def __init__(self, *providers: Scripted) -> None:
        self.observer = Recorder()
        self.sink = RecordingSink()
        ticks, spans = count(), count(1)
        self.attempts = Attempts(
            "m",
            [Candidate(provider, f"{name}:1") for name, provider in zip("abc", providers, strict=False)],
            observer=self.observer,
            clock=lambda: next(ticks) / 4,
            random=lambda: 0.0,
            random_bytes=lambda n: next(spans).to_bytes(n, "big"),
        )

    async def generate(self) -> None:
        await self.attempts.generate(request(), self.sink)

    @property
    def told(self) -> Sequence[UpstreamAttempt]:
        return self.observer.of(UpstreamAttempt)  # type: ignore[return-value]


async def test_the_next_one_is_asked_where_nobody_was_asked_yet() -> None:
    """A connection that failed has started no work, so nothing is done twice; each attempt is told."""
    asked = Asked(dead(), fails(UpstreamTimeout("no connection"), unasked=True), says("hello"))
    await asked.generate()
    assert asked.sink.text == "hello"
    assert asked.told == [
        UpstreamAttempt("m", "a:1", "failed", "upstream_unreachable", 0.25, None),
        UpstreamAttempt("m", "b:1", "failed", "upstream_timeout", 0.25, None),
        UpstreamAttempt("m", "c:1", "answered", None, 0.25, None),
    ]


async def test_where_nobody_can_be_asked_the_last_failure_is_the_models() -> None:
    """It has its own code and status."""
    asked = Asked(dead(), fails(UpstreamTimeout("no connection"), unasked=True))
    with pytest.raises(UpstreamTimeout):
        await asked.generate()


@pytest.mark.parametrize("error", [UpstreamTimeout("no token"), UpstreamInterrupted("broke off"), ProviderError("?")])
async def test_nobody_else_is_asked_once_one_was(error: ProviderError) -> None:
    """A request that was sent may have been paid for: its failure is the answer."""
    second = says("hello")
    asked = Asked(fails(error), second)
    with pytest.raises(type(error)):
        await asked.generate()
    assert second.asked == 0
    assert [(each.upstream, each.outcome, each.code) for each in asked.told] == [("a:1", "failed", error.code)]


async def test_a_cancel_ends_the_attempt_and_no_other_begins() -> None:
    """What was stopped has not failed."""

    async def hang(request: GenerationRequest, sink: Sink) -> None:
        await asyncio.Event().wait()

    first, second = Scripted(hang), says("hello")
    asked = Asked(first, second)
    task = asyncio.create_task(asked.generate())
    while not first.running:  # noqa: ASYNC110
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait((task,))
    assert (task.cancelled(), second.asked) == (True, 0)
    assert [(each.outcome, each.code) for each in asked.told] == [("cancelled", None)]


async def test_each_attempt_is_a_span_below_its_requests() -> None:
    """Its provider finds it as the current one, and the observer is told of it; what is done next is not in it."""
    seen: list[TraceContext | None] = []

    async def look(request: GenerationRequest, sink: Sink) -> None:
        seen.append(current_trace.get())

    current_trace.set(TRACE)
    asked = Asked(dead(), Scripted(look))
    await asked.generate()
    first, second = (each.span for each in asked.told)
    assert first is not None
    assert second is not None
    assert seen == [second]
    assert (first.span_id, second.span_id) == (f"{1:016x}", f"{2:016x}")
    assert {(span.trace_id, span.parent_id) for span in (first, second)} == {(TRACE.trace_id, TRACE.span_id)}
    assert current_trace.get() == TRACE


def test_they_are_drawn_by_weight() -> None:
    """Of four draws spread evenly, three go to the one with three times the weight; the other one is next."""
    light, heavy = Candidate(says("a"), "a:1", weight=1), Candidate(says("b"), "b:1", weight=3)
    orders = [drawn([light, heavy], lambda point=point: point) for point in (0.0, 0.25, 0.5, 0.75)]
    assert orders == [[light, heavy], *[[heavy, light]] * 3]


@pytest.mark.parametrize(("step", "name"), [(lambda each: each.start(), "start"), (lambda each: each.close(), "close")])
async def test_all_of_them_start_and_close(step: Callable[[Attempts], Awaitable[None]], name: str) -> None:
    """One that can never be used is found at the start, whichever is drawn later."""
    called: list[str] = []

    class Noting(Scripted):
        async def start(self) -> None:
            called.append("start")

        async def close(self) -> None:
            called.append("close")

    providers = Noting(dead().generate), Noting(dead().generate)
    await step(Asked(*providers).attempts)
    assert called == [name, name]


async def test_a_refused_connection_leads_to_the_next_upstream() -> None:
    """The same with real sockets."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        urls = [f"http://127.0.0.1:{bound.getsockname()[1]}/v1"]
        async with FakeUpstream(chat("a")) as upstream:
            urls.append(upstream.url)
            model = OpenAIModel(name="m", upstreams=tuple(Upstream(base_url=url) for url in urls))
            candidates = [
                Candidate(OpenAIProvider(each), host_and_port(each.base_url), weight=weight)
                for each, weight in model.by_upstream()
            ]
            observer, sink = Recorder(), RecordingSink()
            attempts = Attempts("m", candidates, observer=observer, random=lambda: 0.0)
            await attempts.start()
            await attempts.generate(request(), sink)
            await attempts.close()
    assert sink.text == "a"
    told: Sequence[UpstreamAttempt] = observer.of(UpstreamAttempt)  # type: ignore[assignment]
    assert [(each.upstream, each.outcome) for each in told] == [
        (host_and_port(urls[0]), "failed"),
        (host_and_port(urls[1]), "answered"),
    ]


@pytest.mark.parametrize(
    "model",
    [
        OpenAIModel(name="bad"),
        OpenAIModel(name="bad", base_url="http://a/v1", upstreams=(Upstream(base_url="http://b/v1"),)),
    ],
    ids=["neither", "both"],
)
def test_a_model_has_either_one_upstream_or_several(model: OpenAIModel) -> None:
    """Which are meant is not guessed."""
    with pytest.raises(ConfigError, match=r"'bad': needs either base_url or upstreams"):
        model.by_upstream()
