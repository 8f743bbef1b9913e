"""A separate child for answers with a grammar or tool calls, one at a time.

llama.cpp cannot be cancelled while it compiles or applies a grammar. Some grammars take minutes, and some crash it. In
a child of their own that harms no other generation: the child is ended, and started again for the next answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tidegate.errors import ConfigError, ProviderCrashed, ProviderError
from tidegate.providers.llama.process import LlamaProcess

LET_GO_SECONDS = 0.7
"""How long after a cancel a child may still be busy before it is ended. A cancel has to take effect within a second."""

STUCK_SECONDS = 5.0
"""How long a child may take to answer a health check: a batch of a prompt takes 0.5 s, a few on a busy machine."""

LOOK_SECONDS = 0.5


class ShapedLane:
    """`launch` starts a child, which is done for the first answer. The child is kept for later ones."""

    def __init__(self, launch: Callable[[], Awaitable[LlamaProcess]]) -> None:
        self._launch = launch
        self._turn = asyncio.Lock()
        self._process: LlamaProcess | None = None
        self._reclaiming: set[asyncio.Task[None]] = set()

    async def run(self, ask: Callable[[LlamaProcess], Awaitable[None]]) -> bool:
        """Calls `ask` with the child, in turn. False where the child was stuck, and was ended.

        Raises what `ask` does; the child is free or gone within a second after that.
        """
        await self._turn.acquire()
        try:
            process = await self._running()
        except BaseException:
            self._turn.release()
            raise
        watch = _Watch(process)
        try:
            await ask(process)
        except BaseException as error:
            self._reclaim(process)
            if watch.ended_it and isinstance(error, ProviderError):
                return False
            raise
        else:
            self._turn.release()
        finally:
            watch.close()
        return True

    async def close(self) -> None:
        """Ends the child."""
        for task in self._reclaiming:
            task.cancel()
        await asyncio.gather(*self._reclaiming, return_exceptions=True)
        if self._process is not None:
            await self._process.stop()

    async def _running(self) -> LlamaProcess:
        if self._process is None or self._process.death is not None:
            try:
                self._process = await self._launch()
            except ConfigError as error:
                raise ProviderCrashed(f"The model's process cannot be started: {error.message}.") from error
        return self._process

    def _reclaim(self, process: LlamaProcess) -> None:
        """Releases the turn once the child is free, in the background."""
        task = asyncio.create_task(_free(process))
        self._reclaiming.add(task)
        task.add_done_callback(self._reclaiming.discard)
        task.add_done_callback(lambda _: self._turn.release())


async def _free(process: LlamaProcess) -> None:
    try:
        async with asyncio.timeout(LET_GO_SECONDS):
            while await process.busy():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
    except (OSError, ValueError):
        await process.stop()


class _Watch:
    """Ends a child that no longer answers health checks."""

    def __init__(self, process: LlamaProcess) -> None:
        self.ended_it = False
        self._process = process
        self._task = asyncio.create_task(self._look())

    def close(self) -> None:
        self._task.cancel()

    async def _look(self) -> None:
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                async with asyncio.timeout(STUCK_SECONDS):
                    await self._process.busy()
        except TimeoutError:
            self.ended_it = True
            await self._process.stop()
        except (OSError, ValueError):
            return
