"""One worker process, as its parent sees it, from its start to its end."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from asyncio import Future
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from tidegate.errors import TidegateError
from tidegate.lifeline import death_of
from tidegate.observe.metrics.series import Series
from tidegate.workers.messages import (
    LONGEST_LINE,
    Failed,
    Listen,
    Measure,
    Measured,
    Message,
    Scrape,
    Scraped,
    Setup,
    decoded,
    encoded,
)

GRACE_SECONDS = 1.0
"""How long a worker that is not wanted any more may take to leave in order."""

MEASURE_SECONDS = 1.0
"""How long a scrape waits for a worker; one that hangs counts with what it said last."""


class WorkerProcess:
    """A worker that takes connections. `death` says how it ended; None while it lives. `measured`: as it said last."""

    def __init__(self, process: Process, channel: asyncio.StreamWriter) -> None:
        self.measured: Sequence[Series] = ()
        self._measuring: Future[None] | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._process = process
        self._channel = channel
        self._launched = time.monotonic()
        self._exit = asyncio.create_task(process.wait())
        self.pid = process.pid

    @classmethod
    async def launch(cls, setup: Setup, scrape: Callable[[], Awaitable[Sequence[Series]]]) -> WorkerProcess:
        """Starts a worker, and returns when it takes connections. Raises the error that it could not start with.

        It is told what `scrape` answers when it asks what all workers have measured.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            # Ctrl-C goes to the whole process group. It is the parent that stops the workers, so they have their own.
            process = await asyncio.create_subprocess_exec(
                # -P: what lies in the working directory must not pass for a module of the standard library.
                *(sys.executable, "-P", "-m", "tidegate.workers.worker", str(theirs.fileno())),
                pass_fds=(theirs.fileno(), *(each for group in setup.listeners for each in group)),
                start_new_session=True,
            )
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=LONGEST_LINE)
        worker = cls(process, writer)
        try:
            writer.write(encoded(setup))
            await worker._started(reader)
        except BaseException:
            await worker.end()
            raise
        worker._hearing = asyncio.create_task(worker._hear(reader, scrape))
        return worker

    @property
    def age(self) -> float:
        """Seconds since the worker's start."""
        return time.monotonic() - self._launched

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while the worker lives."""
        return self._process.returncode

    @property
    def death(self) -> str | None:
        return None if self.code is None else death_of(self.code)

    async def died(self) -> None:
        """Waits for the worker's end."""
        await asyncio.wait([self._exit])
        if self._hearing is not None:
            self._hearing.cancel()
        self._channel.close()

    def listen(self, numbers: Sequence[int]) -> None:
        """Tells the worker which listeners to take connections from. Harmless when it is about to end."""
        self._tell(Listen(list(numbers)))

    async def measure(self) -> Sequence[Series]:
        """What the worker has measured; what it said last where it does not answer in time."""
        if self._measuring is None:
            self._measuring = asyncio.get_running_loop().create_future()
            self._tell(Measure())
        await asyncio.wait([self._measuring], timeout=MEASURE_SECONDS)
        return self.measured

    def stop(self) -> None:
        """Makes the worker drain; the second time it stops at once. Harmless when it is dead."""
        with suppress(ProcessLookupError):
            self._process.terminate()

    async def end(self) -> None:
        """Ends and reaps the worker. Harmless when it is dead."""
        self.stop()
        await asyncio.wait([self._exit], timeout=GRACE_SECONDS)
        with suppress(ProcessLookupError):
            self._process.kill()
        await self.died()

    def _tell(self, message: Message) -> None:
        if not self._channel.is_closing():
            self._channel.write(encoded(message))

    async def _hear(self, reader: asyncio.StreamReader, scrape: Callable[[], Awaitable[Sequence[Series]]]) -> None:
        async with asyncio.TaskGroup() as answering:
            with suppress(ConnectionError):
                while line := await reader.readline():
                    message = decoded(line)
                    if isinstance(message, Measured):
                        self._take(message)
                    elif isinstance(message, Scrape):
                        answering.create_task(self._answer(scrape))

    def _take(self, message: Measured) -> None:
        self.measured = message.series
        measuring, self._measuring = self._measuring, None
        if measuring is not None:
            measuring.set_result(None)

    async def _answer(self, scrape: Callable[[], Awaitable[Sequence[Series]]]) -> None:
        # The worker may have died meanwhile.
        self._tell(Scraped(list(await scrape())))

    async def _started(self, reader: asyncio.StreamReader) -> None:
        line = b""
        # A worker that died before it has read all is noticed by a reset.
        with suppress(ConnectionError):
            line = await reader.readline()
        if not line:
            await self.died()
            raise TidegateError(f"a worker ended with {self.death} before it was ready")
        if isinstance(message := decoded(line), Failed):
            raise message.error
