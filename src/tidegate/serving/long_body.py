"""Long bodies are decoded one at a time: decompressed and parsed, each takes several times the memory that it had."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tidegate.serving.fair_turns import turns_here
from tidegate.serving.guest import Keep

LONG_BYTES = 64 * 1024
"""Shorter bodies are decoded in a step or two, so two of them are hardly ever in progress at once."""


@asynccontextmanager
async def alone_if_long(size: int, account: str, *, most: int, keep: Keep | None) -> AsyncGenerator[None]:
    """Waits for the turn of a body or message of `size` bytes, `most` once decompressed; accounts take turns.

    While it waits, `keep` (if given) charges its bytes to the connection. Raises `Overloaded` where those bytes have
    to be freed, and `ClientDisconnected` where the client leaves.
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
