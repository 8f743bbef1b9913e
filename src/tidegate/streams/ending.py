"""How a stream gets its terminal event, also where its store cannot write at the moment."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, repeat
from typing import TypeVar

from tidegate.core.events import Terminal
from tidegate.errors import OffsetMismatch, StoreUnavailable
from tidegate.stores.base import Log
from tidegate.stores.records import Fence

T = TypeVar("T")

RETRY_SECONDS = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Between attempts to write what a store could not write, the last of them for good: a full disk may be full for
hours."""


async def write_end(
    log: Log, fence: Fence, tail: int, end: Terminal, *, retry: Sequence[float] = RETRY_SECONDS
) -> None:
    """Appends the end after the offset `tail`, and again while the store cannot write: nobody else would write it.

    Raises what else the store refuses it with, e.g. `Fenced`, `StreamEnded` or `StreamNotFound`.
    """
    try:
        await append_end(log, fence, tail, end)
    except StoreUnavailable:
        await again(lambda: append_end(log, fence, tail, end), retry=retry)


async def again(work: Callable[[], Awaitable[T]], *, retry: Sequence[float] = RETRY_SECONDS) -> T:
    """Does once more what the store could not write, until it can. Waits so many seconds before each attempt."""
    waits = chain(retry, repeat(retry[-1]))
    while True:
        await asyncio.sleep(next(waits))
        try:
            return await work()
        except StoreUnavailable:
            continue


async def append_end(log: Log, fence: Fence, tail: int, end: Terminal) -> None:
    """Appends the end, once. Raises `StoreUnavailable`, too."""
    while True:
        try:
            answer = log.append([end], fence=fence, expected=tail)
            # A commit that is under way goes on where its caller is cancelled.
            await asyncio.shield(answer) if isinstance(answer, Future) else answer
        except OffsetMismatch as error:
            # Whoever has the fence has moved the tail itself, by an append for whose answer nobody has waited.
            tail = error.tail
        else:
            return
