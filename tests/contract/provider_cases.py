"""The providers that the contract suite runs over. A new provider is one more entry of `CASES`."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import pytest
from eventually_kit import eventually
from msgspec import Raw

from tidegate.core.events import Completed, Delta, Extra, GenerationRequest, Message, Usage
from tidegate.core.url import host_and_port
from tidegate.observe.base import Occurrence
from tidegate.providers.base import Provider
from tidegate.providers.llama.provider import LlamaProvider
from tidegate.providers.openai.provider import OpenAIProvider
from tidegate.providers.python import PythonProvider
from tidegate.providers.replay import ReplayProvider
from tidegate.providers.settings import LlamaModel, OpenAIModel, PythonModel, ReplayModel
from tidegate.streams.attempts import Attempts, Candidate
from tidegate.testing.upstream import FakeUpstream, Head, Reply, Tokens, chat


async def nothing_left() -> None:
    """What has nothing but its task has stopped with it."""


@dataclass(frozen=True)
class Subject:
    """A provider that is started, and what to ask it.

    `texts` are the answers to `requests`, in any order; none where a real model says what it likes. `stopped`
    returns once the work of a cancelled request is seen to have stopped.
    """

    provider: Provider
    requests: tuple[GenerationRequest, ...]
    texts: tuple[str, ...] = ()
    stopped: Callable[[], Awaitable[None]] = nothing_left


Scene = Callable[[], AbstractAsyncContextManager[Subject]]


@dataclass(frozen=True)
class Case:
    """`answers`: two requests that are answered. `endless`: one whose answer takes more than ten seconds.

    `failing`: one that fails before its first token; None for a provider that cannot fail.
    """

    answers: Scene
    endless: Scene
    failing: Scene | None


def ask(prompt: str, **changes: Any) -> GenerationRequest:
    return GenerationRequest(model="m", messages=(Message(role="user", content=prompt),), **changes)


@asynccontextmanager
async def running(provider: Provider) -> AsyncIterator[Provider]:
    await provider.start()
    try:
        yield provider
    finally:
        await provider.close()


@asynccontextmanager
async def replay_answers() -> AsyncIterator[Subject]:
    model = ReplayModel(name="m", text="the sea comes in and goes out", tokens=9, rate=2000)
    async with running(ReplayProvider(model)) as provider:
        texts = ("the sea comes in", "the sea comes in and goes out the sea")
        yield Subject(provider, (ask("cut", max_tokens=4), ask("whole")), texts)


@asynccontextmanager
async def replay_endless() -> AsyncIterator[Subject]:
    async with running(ReplayProvider(ReplayModel(name="m", tokens=1_000_000, rate=500))) as provider:
        yield Subject(provider, (ask("go on"),))


def python_answers(target: Callable[[GenerationRequest], Any]) -> Scene:
    @asynccontextmanager
    async def scene() -> AsyncIterator[Subject]:
        async with running(PythonProvider(PythonModel(name="m", target=target))) as provider:
            texts = ("".join(f"ebb {number} " for number in range(40)), "".join(f"flow {n} " for n in range(40)))
            yield Subject(provider, (ask("ebb"), ask("flow")), texts)

    return scene


SPACED = Raw(b'{\r\n\n"a": 1\n}')
"""JSON as it may come from elsewhere."""


async def count_async(request: GenerationRequest) -> AsyncIterator[str | Delta | Completed]:
    for number in range(39):
        yield f"{request.prompt} {number} "
        await asyncio.sleep(0)
    yield Delta(f"{request.prompt} 39 ", Extra(chunk=SPACED))
    yield Completed("stop", Usage(1, 40, 41, details=SPACED))


def count_sync(request: GenerationRequest) -> Iterator[str]:
    for number in range(40):
        yield f"{request.prompt} {number} "


@asynccontextmanager
async def python_async_endless() -> AsyncIterator[Subject]:
    closed = asyncio.Event()

    async def target(request: GenerationRequest) -> AsyncIterator[str]:
        try:
            while True:
                yield "on "
                await asyncio.sleep(0.002)
        finally:
            closed.set()

    async def stopped() -> None:
        await closed.wait()

    async with running(PythonProvider(PythonModel(name="m", target=target))) as provider:
        yield Subject(provider, (ask("go on"),), stopped=stopped)


@asynccontextmanager
async def python_sync_endless() -> AsyncIterator[Subject]:
    closed = threading.Event()

    def target(request: GenerationRequest) -> Iterator[str]:
        try:
            while True:
                yield "on "
                time.sleep(0.002)
        finally:
            closed.set()

    async def stopped() -> None:
        await asyncio.to_thread(closed.wait, 5)
        assert closed.is_set()

    async with running(PythonProvider(PythonModel(name="m", target=target))) as provider:
        yield Subject(provider, (ask("go on"),), stopped=stopped)


def python_failing(target: Callable[[GenerationRequest], Any]) -> Scene:
    @asynccontextmanager
    async def scene() -> AsyncIterator[Subject]:
        async with running(PythonProvider(PythonModel(name="m", target=target))) as provider:
            yield Subject(provider, (ask("fail"),))

    return scene


async def numbers_async(request: GenerationRequest) -> AsyncIterator[int]:
    yield 1


def numbers_sync(request: GenerationRequest) -> Iterator[int]:
    yield 1


Asks = Callable[..., Provider]
"""Makes a provider that asks the upstreams."""


def openai(upstream: FakeUpstream) -> OpenAIProvider:
    return OpenAIProvider(OpenAIModel(name="m", base_url=upstream.url))


class Nobody:
    """An observer that does not look."""

    def observe(self, occurrence: Occurrence) -> None:
        pass


def attempts(*upstreams: FakeUpstream) -> Attempts:
    candidates = [Candidate(openai(upstream), host_and_port(upstream.url)) for upstream in upstreams]
    return Attempts("m", candidates, observer=Nobody(), random=itertools.cycle([0.0, 0.9]).__next__)


EBB, FLOW = [[f"{word} {number} " for number in range(40)] for word in ("ebb", "flow")]
TIDES = "".join(EBB), "".join(FLOW)


@asynccontextmanager
async def openai_answers() -> AsyncIterator[Subject]:
    async with (
        FakeUpstream(chat(*EBB, delay=0.001), chat(*FLOW, delay=0.001)) as upstream,
        running(openai(upstream)) as provider,
    ):
        yield Subject(provider, (ask("ebb"), ask("flow")), TIDES)


@asynccontextmanager
async def attempts_answer() -> AsyncIterator[Subject]:
    async with (
        FakeUpstream(chat(*EBB, delay=0.001)) as one,
        FakeUpstream(chat(*FLOW, delay=0.001)) as other,
        running(attempts(one, other)) as provider,
    ):
        yield Subject(provider, (ask("ebb"), ask("flow")), TIDES)


def upstream_endless(make: Asks) -> Scene:
    @asynccontextmanager
    async def scene() -> AsyncIterator[Subject]:
        async with (
            FakeUpstream([Head(), Tokens(["on "] * 10_000, delay=0.002)]) as upstream,
            running(make(upstream)) as provider,
        ):

            async def stopped() -> None:
                await upstream.closed()

            yield Subject(provider, (ask("go on"),), stopped=stopped)

    return scene


def upstream_failing(make: Asks) -> Scene:
    @asynccontextmanager
    async def scene() -> AsyncIterator[Subject]:
        async with (
            FakeUpstream([Reply(500, {"error": {"message": "no", "type": "server_error"}})]) as upstream,
            running(make(upstream)) as provider,
        ):
            yield Subject(provider, (ask("fail"),))

    return scene


@asynccontextmanager
async def llama(*requests: GenerationRequest) -> AsyncIterator[Subject]:
    if find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed")
    provider = LlamaProvider(LlamaModel(name="m", parallel=2, context=512))
    async with running(provider):

        async def stopped() -> None:
            process = await provider.lanes.supervisor.running()

            async def idle() -> bool:
                return not await process.busy()

            await eventually(idle)

        yield Subject(provider, requests, stopped=stopped)


def llama_answers() -> AbstractAsyncContextManager[Subject]:
    return llama(ask("Say hello.", max_tokens=20), ask("What is gravity?", max_tokens=20))


def llama_endless() -> AbstractAsyncContextManager[Subject]:
    # Token 2 ends SmolLM2's answers.
    return llama(ask("Tell a long story.", extra={"logit_bias": {"2": -100}}))


def llama_failing() -> AbstractAsyncContextManager[Subject]:
    return llama(ask("too long " * 4096))


CASES = {
    "replay": Case(replay_answers, replay_endless, None),
    "python-async": Case(python_answers(count_async), python_async_endless, python_failing(numbers_async)),
    "python-sync": Case(python_answers(count_sync), python_sync_endless, python_failing(numbers_sync)),
    "llama": Case(llama_answers, llama_endless, llama_failing),
    "openai": Case(openai_answers, upstream_endless(openai), upstream_failing(openai)),
    "attempts": Case(attempts_answer, upstream_endless(attempts), upstream_failing(attempts)),
}
