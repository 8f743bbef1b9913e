"""`python` models for benchmarks; the prompt says as JSON what is wanted of them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator

import msgspec

from tidegate.core.events import GenerationRequest

LETTERS = "etaoinshrdlu"
VOCABULARY = tuple("".join(random.Random(number).choices(LETTERS, k=1 + number % 8)) for number in range(4096))


class Pace(msgspec.Struct, frozen=True):
    """`first` tokens at once, then `rate` a second until there are `tokens`; each with `size` bytes of padding."""

    tokens: int
    rate: float = 20.0
    size: int = 5
    first: int = 0


class Words(msgspec.Struct, frozen=True):
    """So many `tokens`; another `seed` has other words."""

    tokens: int
    seed: int


async def ticks(request: GenerationRequest) -> AsyncGenerator[str]:
    """Yields the tokens when they are due: `@`, nanoseconds since the epoch, `;`, padding."""
    pace = msgspec.json.decode(request.messages[-1].text, type=Pace)
    padding = "x" * pace.size
    began = time.monotonic()
    for number in range(pace.tokens):
        due = began + max(0, number - pace.first) / pace.rate
        if (delay := due - time.monotonic()) > 0:
            await asyncio.sleep(delay)
        yield f"@{time.time_ns()};{padding}"


async def words(request: GenerationRequest) -> AsyncGenerator[str]:
    """Yields made-up words, each with a space before it, as fast as they are taken. Each is a text of its own."""
    asked = msgspec.json.decode(request.messages[-1].text, type=Words)
    for word in random.Random(asked.seed).choices(VOCABULARY, k=asked.tokens):
        yield f" {word}"
