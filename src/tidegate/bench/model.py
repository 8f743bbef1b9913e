"""A `python` model whose tokens carry the time at which they were made, at the pace that the prompt gives as JSON."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator

import msgspec

from tidegate.core.events import GenerationRequest


class Pace(msgspec.Struct, frozen=True):
    """`first` tokens at once, then `rate` a second until there are `tokens`; each with `size` bytes of padding."""

    tokens: int
    rate: float = 20.0
    size: int = 5
    first: int = 0


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
