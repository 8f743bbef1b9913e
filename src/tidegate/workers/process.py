"""One worker process, as its parent sees it, from its start to its end."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Sequence
from contextlib import suppress

from tidegate.errors import TidegateError
from tidegate.lifeline import death_of
from tidegate.workers.messages import Failed, Listen, Setup, decoded, encoded

GRACE_SECONDS = 1.0
"""How long a worker that is not wanted any more may take to leave in order."""


class WorkerProcess:
    """A worker that takes connections. `death` says how it ended; None while it lives."""

    def __init__(self, process: Process, channel: asyncio.StreamWriter) -> None:
        self._process = process
        self._channel = channel
        self._launched = time.monotonic()
        self._exit = asyncio.create_task(process.wait())
        self.pid = process.pid

    @classmethod
    async def launch(cls, setup: Setup) -> WorkerProcess:
        """Starts a worker, and returns when it takes connections. Raises the error that it could not start with."""
        ours, theirs = socket.socketpair()
        with theirs:
            # Ctrl-C goes to the whole process group. It is the parent that stops the workers, so they have their own.
            process = await asyncio.create_subprocess_exec(
                # -P: what lies in the working directory must not pass for a module of the standard library.
                *(sys.executable, "-P", "-m", "tidegate.workers.worker", str(theirs.fileno())),
                pass_fds=(theirs.fileno(), *(each for group in setup.listeners for each in group)),
                start_new_session=True,
            )
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        worker = cls(process, writer)
        try:
            writer.write(encoded(setup))
            await worker._started(reader)
        except BaseException:
            await worker.end()
            raise
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
        self._channel.close()

    def listen(self, numbers: Sequence[int]) -> None:
        """Tells the worker which listeners to take connections from. Harmless when it is about to end."""
        if not self._channel.is_closing():
            self._channel.write(encoded(Listen(list(numbers))))

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
