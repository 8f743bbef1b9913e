"""A long body is read alone: unpacked, and made into objects, it is several times what was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tidegate.serving.fair_turns import turns_here
from tidegate.serving.guest import Keep

LONG_BYTES = 64 * 1024
"""What is shorter is read in a step or two, so that hardly ever two of them are under way."""


@asynccontextmanager
async def alone_if_long(size: int, account: str, *, most: int, keep: Keep | None) -> AsyncGenerator[None]:
    """Waits until it is the turn of a body or message of `size` bytes, of which `most` may come; the accounts go round.

    While it waits it counts for its connection, where that has a way to `keep` it. Raises `Overloaded` where it has to
    make room, and `ClientDisconnected` where nobody is left who wants it read.
    """
    if most <= LONG_BYTES:
        yield
        return
    turns = turns_here()
    turn = turns.queue(account)
    if keep is not None and not turn.done():
        keep(size, lambda error: _give_up(turn, error))
    try:
        await turns.come(turn)
    finally:
        if keep is not None:
            keep(0, None)
    try:
        yield
    finally:
        turns.leave()


def _give_up(turn: asyncio.Future[None], error: Exception) -> None:
    if not turn.done():
        turn.set_exception(error)
