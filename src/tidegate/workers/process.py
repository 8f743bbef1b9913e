"""One worker process, as its parent sees it, from its start to its end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import time
from asyncio import Future
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

from tidegate.config import Changes, Settings
from tidegate.errors import TidegateError
from tidegate.lifeline import death_of
from tidegate.observe.metrics.series import Series
from tidegate.workers.messages import (
    LONGEST_LINE,
    Drop,
    Failed,
    Listen,
    Measure,
    Measured,
    Message,
    Prepare,
    Prepared,
    Scrape,
    Scraped,
    Setup,
    Take,
    Taken,
    decoded,
    encoded,
)

logger = logging.getLogger("tidegate.workers")

GRACE_SECONDS = 1.0
"""How long a worker that is not wanted any more may take to leave in order."""

MEASURE_SECONDS = 1.0
"""How long a scrape waits for a worker; one that hangs counts with what it said last."""

REPLY_SECONDS = 30.0
"""How long a worker may take to get ready for other settings: it may have to import a model of the user's."""


class WorkerProcess:
    """A worker that takes connections. `death` says how it ended; None while it lives. `measured`: as it said last.

    `settings` are those that it has started with, or has taken over last.
    """

    def __init__(self, process: Process, channel: asyncio.StreamWriter, settings: Settings) -> None:
        self.measured: Sequence[Series] = ()
        self.settings = settings
        self._replying: Future[Prepared | Taken | None] | None = None
        self._number = 0
        self._expected: type[Prepared | Taken] = Prepared
        self._measuring: Future[None] | None = None
        self._silent = False
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
        worker = cls(process, writer, setup.settings)
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

    @property
    def answers(self) -> bool:
        """Whether the worker has answered what it was asked last."""
        return self._measuring is None

    async def died(self) -> None:
        """Waits for the worker's end."""
        await asyncio.wait([self._exit])
        self._hear_reply(None)
        if self._hearing is not None:
            self._hearing.cancel()
        self._channel.close()

    def listen(self, numbers: Sequence[int]) -> None:
        """Tells the worker which listeners to take connections from. Harmless when it is about to end."""
        self._tell(Listen(list(numbers)))

    async def prepare(self, order: Prepare) -> bool:
        """Has the worker get ready for later settings; False where it has died, or hangs: it has said nothing at all
        since. Raises `TidegateError` where it cannot do so, or not in time."""
        replying = self._ask(order)
        self._silent = True
        self._ask_measure()
        try:
            reply = await self._reply(replying)
        except TidegateError:
            if self._silent:
                return False
            raise
        if isinstance(reply, Prepared) and reply.failed is not None:
            raise reply.failed.error
        return reply is not None

    def take(self, settings: Settings) -> Awaitable[Changes | None]:
        """Has the worker take over what it is ready for. The result is what has changed; None where it does not say."""
        self.settings = settings
        return self._taken(self._ask(Take(self._number)))

    async def _taken(self, replying: Future[Prepared | Taken | None]) -> Changes | None:
        try:
            reply = await self._reply(replying)
        except TidegateError as error:
            # It does so as soon as it hears of it.
            logger.error("the settings have changed, but %s", error.message)
            return None
        return reply.changes if isinstance(reply, Taken) else None

    def drop(self) -> None:
        """Has the worker forget what it is ready for."""
        self._tell(Drop())

    async def measure(self) -> Sequence[Series]:
        """What the worker has measured; what it said last where it does not answer in time."""
        await asyncio.wait([self._ask_measure()], timeout=MEASURE_SECONDS)
        return self.measured

    def stop(self) -> None:
        """Makes the worker drain; the second time it stops at once. Harmless when it is dead."""
        self.signal(signal.SIGTERM)

    def signal(self, which: signal.Signals) -> None:
        """Sends a signal. Harmless when the worker is dead."""
        with suppress(ProcessLookupError):
            self._process.send_signal(which)

    async def end(self, *, hangs: bool = False) -> None:
        """Ends and reaps the worker. Harmless when it is dead. Where it `hangs` it may say first where it does."""
        self.signal(signal.SIGABRT if hangs else signal.SIGTERM)
        await asyncio.wait([self._exit], timeout=GRACE_SECONDS)
        with suppress(ProcessLookupError):
            self._process.kill()
        await self.died()

    def _ask_measure(self) -> Future[None]:
        if self._measuring is None:
            self._measuring = asyncio.get_running_loop().create_future()
            self._tell(Measure())
        return self._measuring

    def _ask(self, message: Prepare | Take) -> Future[Prepared | Taken | None]:
        """The worker's reply; None where it has died. One that comes late is no reply to what is asked next."""
        self._expected = Prepared if isinstance(message, Prepare) else Taken
        self._number = message.number
        self._replying = replying = asyncio.get_running_loop().create_future()
        if self.death is None:
            self._tell(message)
        else:
            replying.set_result(None)
        return replying

    async def _reply(self, replying: Future[Prepared | Taken | None]) -> Prepared | Taken | None:
        """Waits for the reply. Raises `TidegateError` where it does not come."""
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                return await replying
        except TimeoutError:
            raise TidegateError(f"a worker, pid {self.pid}, does not answer") from None

    def _hear_reply(self, reply: Prepared | Taken | None) -> None:
        if self._replying is not None and not self._replying.done():
            self._replying.set_result(reply)

    def _tell(self, message: Message) -> None:
        if not self._channel.is_closing():
            self._channel.write(encoded(message))

    async def _hear(self, reader: asyncio.StreamReader, scrape: Callable[[], Awaitable[Sequence[Series]]]) -> None:
        async with asyncio.TaskGroup() as answering:
            with suppress(ConnectionError):
                while line := await reader.readline():
                    message = decoded(line)
                    self._silent = False
                    if isinstance(message, Measured):
                        self._take(message)
                    elif isinstance(message, self._expected) and message.number == self._number:
                        self._hear_reply(message)
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
