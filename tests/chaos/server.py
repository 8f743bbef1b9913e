"""The server under test: a process that can be killed, stopped, told to leave, and denied its disk and its time."""

from __future__ import annotations

import asyncio
import re
import resource
import signal
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from port_kit import free_port

from .forks import Fork, ServerFailed, forker

START_SECONDS = 20.0
"""From exec to ready takes a quarter of a second; many of them at once share two cores."""

LEAVE_SECONDS = 15.0

UNLIMITED = resource.RLIM_INFINITY

UNHANDLED = re.compile(
    r"never retrieved|Exception in callback|exception was never|Fatal error|Unhandled|unraisable", re.I
)
"""What asyncio and the interpreter write of errors that nobody has dealt with."""


class Server:
    """At most one process at a time, with the configuration `tidegate.toml` of a folder.

    `port` is where it listens, always the same, None while it is not ready. `died` is called when it ends without
    having been told to.
    """

    def __init__(self, folder: Path, died: Callable[[str], None]) -> None:
        self.port: int | None = None
        self._listens_at = free_port()
        self.starts = 0
        self.errors: list[str] = []
        self._folder = folder
        self._died = died
        self._process: Fork | None = None
        self._expected_to_end = False
        self._tasks: list[asyncio.Task[None]] = []
        self._clock = folder / "clock"
        self.shift(0.0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Starts a process and waits until it is ready. Raises `ServerFailed`."""
        await self.spawn()
        await self.ready()

    async def spawn(self) -> None:
        """Starts a process."""
        arguments = ("serve", "--port", str(self._listens_at), "--config", "tidegate.toml")
        self._process = await forker().fork(arguments, self._folder, self._clock)
        self.starts += 1
        self._expected_to_end = False
        self._tasks.append(asyncio.create_task(self._read_errors(self._process)))

    async def ready(self) -> None:
        """Waits until the process is ready. Raises `ServerFailed`."""
        process = self._process
        assert process is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                line = await process.stdout.readline()
        except TimeoutError:
            raise ServerFailed(f"not ready after {START_SECONDS:g} s: {self.tail()}") from None
        if not line:
            raise ServerFailed(f"ended with {await process.wait()} before it was ready: {self.tail()}")
        self.port = self._listens_at
        self._tasks.append(asyncio.create_task(self._watch(process)))

    async def kill(self) -> None:
        """SIGKILL, also while it is stopped."""
        await self._end(signal.SIGKILL)

    async def leave(self) -> int:
        """SIGTERM: its exit code. Raises `ServerFailed` when it does not leave."""
        process = self._process
        assert process is not None
        self._expected_to_end = True
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                return await process.wait()
        except TimeoutError:
            raise ServerFailed(f"did not leave within {LEAVE_SECONDS:g} s of SIGTERM") from None
        finally:
            self.port = None

    def stop(self) -> None:
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def limit_files(self, size: int) -> bool:
        """No file can be written past this size, in bytes: writes fail with EFBIG. `UNLIMITED` ends it.

        False where no process is ready: one that cannot write as it starts does right to give up.
        """
        if self._process is None or self.port is None:
            return False
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (size, UNLIMITED))
        return True

    def shift(self, seconds: float) -> None:
        """Sets the wall clock that the server sees off by so much, also that of the processes to come."""
        data = struct.pack("<d", seconds)
        if self._clock.exists():
            with self._clock.open("r+b") as file:
                file.write(data)
        else:
            self._clock.write_bytes(data)

    async def close(self) -> None:
        await self.kill()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def unhandled(self) -> list[str]:
        """What the processes have written of errors that nobody has dealt with."""
        return [line for line in self.errors if UNHANDLED.search(line)]

    def tail(self) -> str:
        return " | ".join(self.errors[-12:])

    async def _end(self, how: signal.Signals) -> None:
        self._expected_to_end = True
        self.port = None
        if self._process is not None:
            self._signal(how)
            await self._process.wait()

    def _signal(self, which: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(which)

    async def _watch(self, process: Fork) -> None:
        code = await process.wait()
        if process is self._process and not self._expected_to_end:
            self.port = None
            self._died(f"exit code {code}: {self.tail()}")

    async def _read_errors(self, process: Fork) -> None:
        async for line in process.stderr:
            self.errors.append(line.decode("utf-8", "replace").rstrip())
