"""Shares llama.cpp's decode slots among generations.

llama.cpp fills a batch with the prompt of its first waiting slot, so prompts that come together are processed one
after the other anyway. But a slot whose prompt has to wait does not notice that its connection was closed: it checks
that when it has a result, or after a second without a result of *any* slot, which never happens under load (measured:
71 s). So prompts are sent one at a time. Then every slot gets a result with every batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from tidegate.providers.llama.process import LlamaProcess

LET_GO_SECONDS = 10.0
"""How long a slot may be busy after its request's end before it is reused regardless; it should take 0.5 s."""

POLL_SECONDS = 0.05


class Turn:
    """One generation's slot. `process` is the child that was asked; None before that."""

    def __init__(self, prompting: asyncio.Semaphore) -> None:
        self._prompting: asyncio.Semaphore | None = prompting
        self.process: LlamaProcess | None = None

    def answers(self) -> None:
        """Says that the prompt is processed: the next one may be sent. Harmless when repeated."""
        if self._prompting is not None:
            self._prompting.release()
            self._prompting = None


class Slots:
    """Hands out `parallel` slots, first come, first served."""

    def __init__(self, parallel: int) -> None:
        self._free = asyncio.Semaphore(parallel)
        self._prompting = asyncio.Semaphore(1)
        self._live = 0
        self._letting_go: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[Turn]:
        """Waits for a slot and for the right to send a prompt.

        On an exception, both are given back in the background, once llama.cpp has freed the slot.
        """
        await self._free.acquire()
        try:
            await self._prompting.acquire()
        except BaseException:
            self._free.release()
            raise
        turn = Turn(self._prompting)
        self._live += 1
        try:
            yield turn
        except BaseException:
            self._live -= 1
            task = asyncio.create_task(self._let_go(turn))
            self._letting_go.add(task)
            task.add_done_callback(self._letting_go.discard)
            raise
        self._live -= 1
        self._give_back(turn)

    async def close(self) -> None:
        """Stops waiting for slots to become free."""
        for task in self._letting_go:
            task.cancel()
        await asyncio.gather(*self._letting_go, return_exceptions=True)

    async def _let_go(self, turn: Turn) -> None:
        try:
            if turn.process is not None:
                with suppress(OSError, ValueError):
                    async with asyncio.timeout(LET_GO_SECONDS):
                        await self._let_go_by(turn.process)
        finally:
            self._give_back(turn)

    async def _let_go_by(self, process: LlamaProcess) -> None:
        # Nothing tells which slot is whose, so only the number of busy slots can be compared.
        while await process.busy() > self._live:  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)

    def _give_back(self, turn: Turn) -> None:
        turn.answers()
        self._free.release()
