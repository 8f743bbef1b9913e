"""One llama.cpp for several processes: the lanes of a real child, used by two providers as by two workers."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import socket
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

import pytest
from eventually_kit import eventually
from llama_kit import END_OF_TURN, Running

from tidegate.core.events import GenerationRequest, Message
from tidegate.errors import ProviderCrashed, UpstreamRefused
from tidegate.providers.llama import limits as llama_limits
from tidegate.providers.llama import shaped as llama_shaped
from tidegate.providers.llama.lane_host import LaneHost
from tidegate.providers.llama.lane_words import Enter, LanePlace, line
from tidegate.providers.llama.provider import LlamaProvider
from tidegate.providers.settings import LlamaModel, SharedLlamaModel
from tidegate.testing.sink import RecordingSink

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed"),
]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


class Pair:
    """A host with one model of two slots, and two that use it."""

    def __init__(self) -> None:
        self.host = LaneHost([LlamaModel(name="m", parallel=2, context=1024)])
        self.lanes = self.host.lanes["m"]
        self.place: LanePlace
        self.near: LlamaProvider
        self.far: LlamaProvider

    async def start(self) -> None:
        self.place = await self.host.start()
        shared = SharedLlamaModel(name="m", port=self.place.port, key=self.place.key)
        self.near, self.far = LlamaProvider(shared), LlamaProvider(shared)
        for each in (self.near, self.far):
            await each.start()

    async def busy(self) -> int:
        return await (await self.lanes.supervisor.running()).busy()

    async def is_idle(self) -> bool:
        return await self.busy() == 0


@pytest.fixture(scope="module")
async def pair(anyio_backend: str) -> AsyncGenerator[Pair]:
    pair = Pair()
    await pair.start()
    yield pair
    for each in (pair.near, pair.far, pair.host):
        await each.close()


def ask(*, max_tokens: int = 8, **extra: object) -> GenerationRequest:
    messages = (Message(role="user", content="Say hello."),)
    return GenerationRequest(model="m", messages=messages, max_tokens=max_tokens, temperature=0.0, extra=extra)


def shaped(*words: str) -> GenerationRequest:
    return ask(response_format={"type": "json_schema", "json_schema": {"schema": {"enum": words}}})


async def answered(provider: LlamaProvider, request: GenerationRequest) -> str:
    sink = RecordingSink()
    async with asyncio.timeout(30):
        await provider.generate(request, sink)
    return sink.text


def endless(provider: LlamaProvider) -> Running:
    return Running(provider, ask(max_tokens=900, logit_bias={END_OF_TURN: -100}))


async def test_two_have_the_slots_together(pair: Pair) -> None:
    """Two answers fill them, whoever asks; a third one waits until one is given up, also by the other."""
    first, second = await endless(pair.near).speaks(), await endless(pair.far).speaks()
    third = asyncio.create_task(answered(pair.near, ask()))
    async with asyncio.timeout(30):
        await first.sink.holds(len(first.sink.events) + 10)
    assert not third.done()
    assert await pair.busy() == 2
    await second.cancel()
    assert await third
    await first.cancel()
    await eventually(pair.is_idle)


async def test_who_waits_no_more_has_no_turn(pair: Pair) -> None:
    """One that was cancelled in the queue takes no slot, and the one behind it moves up."""
    both = [await endless(pair.near).speaks() for _ in range(2)]
    given_up, waiting = endless(pair.far), asyncio.create_task(answered(pair.far, ask()))
    await eventually(lambda: len(pair.host._visits) == 4)
    await given_up.cancel()
    await both[0].cancel()
    assert await waiting
    assert given_up.sink.events == []
    await both[1].cancel()
    await eventually(pair.is_idle)


async def test_a_crash_ends_the_answers_of_both(pair: Pair) -> None:
    """They fail with what it died of; the next answers wait for the next child."""
    running = [await endless(provider).speaks() for provider in (pair.near, pair.far)]
    os.kill((await pair.lanes.supervisor.running()).pid, signal.SIGKILL)
    for each in running:
        with pytest.raises(ProviderCrashed, match=r"signal 9 \(SIGKILL\)"):
            async with asyncio.timeout(5):
                await each.task
    assert all(await asyncio.gather(answered(pair.near, ask()), answered(pair.far, ask())))


async def test_a_child_that_was_dead_already_is_no_failure(pair: Pair) -> None:
    """Whoever was given its address asks the next one."""
    process = await pair.lanes.supervisor.running()
    os.kill(process.pid, signal.SIGKILL)
    await eventually(lambda: not listening(process.address))
    assert await answered(pair.near, ask())


def listening(address: str) -> bool:
    url = urlsplit(address)
    with socket.socket() as probe:
        return probe.connect_ex((url.hostname, url.port)) == 0


async def test_answers_with_a_grammar_have_one_process_for_all(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """They come one at a time, from either; one that is stuck is ended, refused, and not in the way of the next."""
    found = await asyncio.gather(*(answered(each, shaped("yes")) for each in (pair.near, pair.far)))
    assert found == ['"yes"', '"yes"']
    monkeypatch.setattr(llama_limits, "MAX_ALTERNATIVES", 1_000_000)
    monkeypatch.setattr(llama_limits, "MAX_BYTES", 100_000_000)
    monkeypatch.setattr(llama_shaped, "STUCK_SECONDS", 0.5)
    with pytest.raises(UpstreamRefused) as refused:
        await answered(pair.far, shaped(*(f"a{number}" for number in range(20_000))))
    assert (refused.value.status, refused.value.param) == (400, "response_format")
    assert await answered(pair.near, shaped("no")) == '"no"'


@pytest.mark.parametrize("said", [line(Enter("no key", "m", "plain")), b"GET / HTTP/1.1\r\n\r\n", b""])
async def test_others_of_this_machine_get_no_turn(pair: Pair, said: bytes) -> None:
    """Without the key the connection is closed, and nothing is said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", pair.place.port)
    writer.write(said)
    writer.write_eof()
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
