"""Keeps one child alive: after a death it is started again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tidegate.core.restarts import Restarts
from tidegate.errors import ProviderCrashed
from tidegate.providers.llama.process import LlamaProcess

logger = logging.getLogger("tidegate.llama")

READY_SECONDS = 60.0
"""How long a generation waits for the child; a big model is loaded in that time once its file is in memory."""


class Supervisor:
    """`launch` starts a child; it raises `ConfigError` where that fails."""

    def __init__(self, launch: Callable[[], Awaitable[LlamaProcess]]) -> None:
        self._launch = launch
        self._process: LlamaProcess | None = None
        self._ready = asyncio.Event()
        self._failure = "it is being started"
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Returns when the child takes requests. Raises `ConfigError`."""
        self._process = await self._launch()
        self._ready.set()
        self._watch = asyncio.create_task(self._keep(self._process))

    async def running(self) -> LlamaProcess:
        """The running child; waits while it is being restarted. Raises `ProviderCrashed` when that takes too long."""
        try:
            async with asyncio.timeout(READY_SECONDS):
                while self._process is None or self._process.death is not None:
                    self._ready.clear()
                    await self._ready.wait()
        except TimeoutError:
            raise ProviderCrashed(f"The model's process is not running: {self._failure}.") from None
        return self._process

    async def close(self) -> None:
        """Ends the child, and restarts it no more."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        if self._process is not None:
            await self._process.stop()

    async def _keep(self, process: LlamaProcess) -> None:
        restarts = Restarts()
        while True:
            await process.died()
            self._failure = f"it died with {process.death}"
            logger.error(
                "pid %d died with %s after %.0f s; the end of its log:\n%s",
                *(process.pid, process.death, process.age, process.last_words()),
            )
            process = self._process = await self._again(restarts, process.age)
            self._ready.set()

    async def _again(self, restarts: Restarts, lived: float) -> LlamaProcess:
        while True:
            delay = restarts.delay_after(lived)
            logger.warning("restarting in %.0f s", delay)
            await asyncio.sleep(delay)
            try:
                return await self._launch()
            except Exception as error:
                # Any exception: a supervisor that gave up would leave all later generations without a child.
                self._failure = f"it cannot be started again ({error})"
                logger.error("restart failed: %s", error)
                lived = 0.0
