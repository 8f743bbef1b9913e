"""Answers that have to keep to a grammar, by the real llama.cpp."""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from eventually_kit import eventually
from msgspec import UNSET

from tidegate.core.events import GenerationRequest, Message
from tidegate.errors import ProviderCrashed, UpstreamRefused
from tidegate.providers.llama import limits as llama_limits
from tidegate.providers.llama import shaped as llama_shaped
from tidegate.providers.llama.provider import LlamaProvider
from tidegate.providers.settings import LlamaModel
from tidegate.testing.sink import RecordingSink

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="xllamacpp is not installed"),
]

HEAVY = {"enum": [f"a{number}" for number in range(20_000)]}
"""Minutes of work."""

DEADLY: dict[str, Any] = {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"$ref": "#/$defs/a"}}}
"""llama.cpp goes round it until its stack is full."""


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def llama(anyio_backend: str) -> AsyncGenerator[LlamaProvider]:
    provider = LlamaProvider(LlamaModel(name="small", parallel=2, context=1024))
    await provider.start()
    yield provider
    await provider.close()


def ask(schema: dict[str, Any] | None = None) -> GenerationRequest:
    extra = {} if schema is None else {"response_format": {"type": "json_schema", "json_schema": {"schema": schema}}}
    messages = (Message(role="user", content="Say hello."),)
    return GenerationRequest(model="m", messages=messages, max_tokens=8, temperature=0.0, extra=extra)


async def answered(provider: LlamaProvider, request: GenerationRequest) -> str:
    sink = RecordingSink()
    async with asyncio.timeout(30):
        await provider.generate(request, sink)
    return sink.text


async def is_stuck(provider: LlamaProvider) -> bool:
    """Whether the child of the shaped answers is at work, and so answers nothing."""
    process = provider.lanes.shaped_lane._process
    if process is None:
        return False
    try:
        async with asyncio.timeout(0.2):
            await process.busy()
    except TimeoutError:
        return True
    return False


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no limit has thought of."""
    monkeypatch.setattr(llama_limits, "MAX_ALTERNATIVES", 1_000_000)
    monkeypatch.setattr(llama_limits, "MAX_BYTES", 100_000_000)


async def test_an_answer_keeps_to_its_schema(llama: LlamaProvider) -> None:
    """One of the two that it may say."""
    assert await answered(llama, ask({"enum": ["yes", "no"]})) in ('"yes"', '"no"')


async def test_what_llama_says_of_itself_is_not_passed_on(llama: LlamaProvider) -> None:
    """Progress and timings of an answer with a grammar are no part of it, as they are not of any other."""
    for request in (ask({"enum": ["yes"]}), ask()):
        sink = RecordingSink()
        await llama.generate(request, sink)
        assert [event for event in sink.events if getattr(event, "extra", UNSET) is not UNSET] == []


async def test_a_cancel_stops_a_grammar(llama: LlamaProvider, unlimited: None) -> None:
    """It costs nobody anything any more; plain answers have not noticed, and the next one comes."""
    stuck = asyncio.create_task(llama.generate(ask(HEAVY), RecordingSink()))
    await eventually(lambda: is_stuck(llama))
    assert await answered(llama, ask())
    assert not stuck.done()
    stuck.cancel()
    await asyncio.wait([stuck])
    assert await answered(llama, ask({"enum": ["yes"]})) == '"yes"'


async def test_a_grammar_that_takes_too_long_is_refused(
    llama: LlamaProvider, unlimited: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own fault, and a 400: it would take as long the next time."""
    monkeypatch.setattr(llama_shaped, "STUCK_SECONDS", 0.5)
    with pytest.raises(UpstreamRefused) as refused:
        await answered(llama, ask(HEAVY))
    assert (refused.value.status, refused.value.param) == (400, "response_format")


async def test_a_schema_that_kills_llama_kills_nobody_elses_answer(llama: LlamaProvider) -> None:
    """The child of the plain answers is the same afterwards."""
    before = await llama.lanes.supervisor.running()
    with pytest.raises(ProviderCrashed):
        await answered(llama, ask(DEADLY))
    assert (await llama.lanes.supervisor.running()) is before
    assert await answered(llama, ask())
