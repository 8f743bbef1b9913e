"""Waiting for a fact instead of a time."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable

DEADLINE_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.001
LONGEST_PAUSE_SECONDS = 0.05


async def eventually(truth: Callable[[], object], *, within: float = DEADLINE_SECONDS) -> float:
    """Waits until `truth` answers something true, and returns how many seconds that took.

    `truth` is a function or a coroutine function without arguments. When `within` seconds have passed, an
    `AssertionError` shows the line that was waited for and what `truth` answered last.
    """
    began = time.monotonic()
    pause, answer = FIRST_PAUSE_SECONDS, None
    try:
        async with asyncio.timeout(within) as deadline:
            while not (answer := await _answer_of(truth)):
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    except TimeoutError:
        if not deadline.expired():
            raise
        raise AssertionError(f"not within {within:g} s: {_source_of(truth)} (last answer: {answer!r})") from None
    return time.monotonic() - began


async def _answer_of(truth: Callable[[], object]) -> object:
    answer = truth()
    return await answer if isinstance(answer, Awaitable) else answer


def _source_of(truth: Callable[[], object]) -> str:
    try:
        return " ".join(inspect.getsource(truth).split())
    except OSError:
        return repr(truth)
