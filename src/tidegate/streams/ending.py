"""Makes the terminal event of a stream that failed, and writes ends also when the store cannot write at the moment."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain, repeat
from typing import TypeVar

from tidegate.core.events import Appendable, ErrorInfo, Failed, Terminal, Usage
from tidegate.core.unheeded import unheeded
from tidegate.errors import OffsetMismatch, StorageFull, StoreUnavailable, TidegateError, TooLong
from tidegate.stores.base import Log
from tidegate.stores.records import Fence

T = TypeVar("T")

RETRY_SECONDS = (0.25, 0.5, 1.0)
"""Seconds between attempts to write what the store could not write. The last value repeats without end: a disk may be
full for hours, and once it is not, readers have the end within a second."""


def failed(error: TidegateError, usage: Usage) -> Failed:
    """The terminal event of a stream that has failed with the error."""
    return Failed(ErrorInfo(error.type, error.code, error.message), usage)


async def write_end(
    log: Log,
    fence: Fence,
    tail: int,
    end: Terminal,
    *,
    unsure: Sequence[Appendable] = (),
    retry: Sequence[float] = RETRY_SECONDS,
) -> None:
    """Appends the end after the offset `tail`, and retries while the store cannot write: nobody else would write it.

    `unsure` are events of which nobody knows whether the store has them after the tail: readers at another node may
    have seen them, before the store lost them, so nothing else may take their place. Raises every other refusal of the
    store, e.g. `Fenced`, `StreamEnded` or `StreamNotFound`.
    """
    try:
        await append_end(log, fence, tail, end, unsure=unsure)
    except StoreUnavailable:
        await again(lambda: append_end(log, fence, tail, end, unsure=unsure), retry=retry)


async def again(work: Callable[[], Awaitable[T]], *, retry: Sequence[float] = RETRY_SECONDS) -> T:
    """Repeats `work` until the store can write. Waits the seconds in `retry` before each attempt."""
    waits = chain(retry, repeat(retry[-1]))
    while True:
        await asyncio.sleep(next(waits))
        try:
            return await work()
        except StoreUnavailable:
            continue


async def append_end(log: Log, fence: Fence, tail: int, end: Terminal, *, unsure: Sequence[Appendable] = ()) -> None:
    """Appends the end without retries. Raises what `write_end` does, and `StoreUnavailable`."""
    while True:
        try:
            answer = log.append([*unsure, end], fence=fence, expected=tail)
            if isinstance(answer, Future):
                # A commit under way must complete even if its caller is cancelled.
                answer.add_done_callback(unheeded)
                await asyncio.shield(answer)
        except (TooLong, StorageFull):
            if not unsure:
                raise
            # The store never had them, or they would count already.
            unsure = ()
        except OffsetMismatch as error:
            # The holder of this fence has moved the tail itself, by an append whose answer nobody awaited.
            tail, unsure = error.tail, ()
        else:
            return
