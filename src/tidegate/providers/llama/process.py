"""One child process that runs llama.cpp, from its start to its end."""

from __future__ import annotations

import asyncio
import logging
import secrets
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import msgspec

from tidegate.errors import ConfigError
from tidegate.lifeline import death_of
from tidegate.providers.base import Provider
from tidegate.providers.llama.child import ChildSettings, Ready

logger = logging.getLogger("tidegate.llama")

LOAD_SECONDS = 300.0
"""How long loading may take: for a model of tens of GB on a slow disk. The packaged one takes a second or two."""

GRACE_SECONDS = 3.0
"""How long SIGTERM may take: the child has nothing to save, so it ends at once, or hangs."""

KEPT_LINES = 20
"""Lines of llama.cpp's log that are kept to explain the child's death."""

MAX_LINE_BYTES = 65_536
"""The longest line of llama.cpp's log; usual ones have at most some 300 bytes."""


class Slot(msgspec.Struct):
    is_processing: bool


class LlamaProcess:
    """A child process that has loaded its model. `death` says how it ended; None while it lives.

    `upstream` is the provider that sends requests to the child; its launcher has to set it.
    """

    upstream: Provider

    def __init__(self, process: Process) -> None:
        self._process = process
        self._launched = time.monotonic()
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._log = asyncio.create_task(self._read_log())
        self._exit = asyncio.create_task(process.wait())
        self.pid = process.pid
        self.address = ""
        self.api_key = secrets.token_urlsafe(32)

    @classmethod
    async def launch(cls, path: str, *, parallel: int, context: int) -> LlamaProcess:
        """Starts a child and returns when it takes requests. Raises `ConfigError` if it cannot load the model."""
        # Ctrl-C goes to the whole process group. The server has to drain first, so the child has a group of its own.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tidegate.providers.llama.child"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            start_new_session=True,
        )
        child = cls(process)
        settings = ChildSettings(path=path, parallel=parallel, context=context, api_key=child.api_key)
        try:
            child.address = await child._load(settings)
        except BaseException:
            await child.stop()
            raise
        logger.info("started in %.1f s with pid %d", child.age, child.pid)
        return child

    @property
    def age(self) -> float:
        """Seconds since the child's start."""
        return time.monotonic() - self._launched

    @property
    def death(self) -> str | None:
        code = self._process.returncode
        return None if code is None else death_of(code)

    async def died(self) -> None:
        """Waits for the child's end and for the last of its log."""
        await asyncio.wait([self._exit, self._log])

    async def died_within(self, seconds: float) -> bool:
        """Whether the child is dead, or dies in this time."""
        await asyncio.wait([self._exit], timeout=seconds)
        return self.death is not None

    def last_words(self) -> str:
        """The end of llama.cpp's log."""
        return "\n".join(self._lines)

    async def busy(self) -> int:
        """How many of the child's slots are at work. Raises `OSError` or `ValueError` where it does not answer."""
        url = urlsplit(self.address)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        try:
            writer.write(
                f"GET /slots HTTP/1.0\r\nauthorization: Bearer {self.api_key}\r\nconnection: close\r\n\r\n".encode()
            )
            answer = await reader.read()
        finally:
            writer.transport.abort()
        slots = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2], type=list[Slot])
        return sum(slot.is_processing for slot in slots)

    async def stop(self) -> None:
        """Ends and reaps the child: SIGTERM, after a grace period SIGKILL. Harmless when it is dead."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        if not await self.died_within(GRACE_SECONDS):
            logger.warning("pid %d does not end, killing it", self.pid)
            with suppress(ProcessLookupError):
                self._process.kill()
        await self.died()

    async def _load(self, settings: ChildSettings) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(settings) + b"\n")
            async with asyncio.timeout(LOAD_SECONDS):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise ConfigError(f"{settings.path} was not loaded within {LOAD_SECONDS:.0f} s") from None
        if not line:
            await self.died()
            logger.error("the model's process ended (%s) while loading:\n%s", self.death, self.last_words())
            raise ConfigError(f"{settings.path} cannot be loaded: {self._reason()}")
        return msgspec.json.decode(line, type=Ready).address

    def _reason(self) -> str:
        # llama.cpp logs the cause first; then each of its callers logs that it has failed.
        for line in self._lines:
            _, found, reason = line.partition("error loading model: ")
            if found:
                return reason
        return self._lines[-1] if self._lines else f"its process ended with {self.death}"

    async def _read_log(self) -> None:
        assert self._process.stderr is not None
        async for line in lines(self._process.stderr):
            self._lines.append(line)
            logger.debug("llama.cpp: %s", line)


async def lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """The lines of a text; lines over `MAX_LINE_BYTES` come in pieces."""
    rest = b""
    while data := await stream.read(MAX_LINE_BYTES):
        *whole, rest = (rest + data).split(b"\n")
        if len(rest) >= MAX_LINE_BYTES:
            whole, rest = [*whole, rest], b""
        for line in whole:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")
