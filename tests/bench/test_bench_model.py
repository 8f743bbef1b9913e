from __future__ import annotations

import re
import time

import msgspec
import pytest

from tidegate.bench.model import Pace, Words, ticks, words
from tidegate.core.events import GenerationRequest, Message


def asked(pace: Pace | Words) -> GenerationRequest:
    prompt = Message(role="user", content=msgspec.json.encode(pace).decode())
    return GenerationRequest(model="ticks", messages=(prompt,))


@pytest.mark.anyio
async def test_a_token_carries_the_time_at_which_it_was_made() -> None:
    """In the form that the load generator reads, with as much padding as was asked for."""
    before = time.time_ns()
    tokens = [token async for token in ticks(asked(Pace(tokens=3, rate=1000, size=4)))]
    stamps = [int(found[1]) for token in tokens if (found := re.fullmatch(r"@(\d{19});x{4}", token))]
    assert len(stamps) == 3
    times = [before, *stamps, time.time_ns()]
    assert times == sorted(times)


@pytest.mark.anyio
async def test_the_first_tokens_are_there_at_once() -> None:
    """A long answer to come back to does not have to be waited for."""
    stream = ticks(asked(Pace(tokens=100, rate=0.001, first=50)))
    began = time.monotonic()
    for _ in range(50):
        await anext(stream)
    assert time.monotonic() - began < 5
    await stream.aclose()


@pytest.mark.anyio
async def test_words_are_the_same_for_the_same_seed_only() -> None:
    """So that logs of the same size can be filled again, and no two of a run are alike."""

    async def said(seed: int) -> list[str]:
        return [word async for word in words(asked(Words(tokens=100, seed=seed)))]

    first = await said(1)
    assert len(first) == len("".join(first).split()) == 100
    assert all(word.startswith(" ") for word in first)
    assert await said(1) == first
    assert await said(2) != first
