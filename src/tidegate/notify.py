"""What systemd is told of this process: when it is ready, reads its files again, stops, and that its loop turns.

It is told in datagrams of `NAME=VALUE` lines (sd_notify(3)). A process that systemd does not wait for tells nobody.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import AsyncGenerator, Generator, MutableMapping
from contextlib import asynccontextmanager, contextmanager

SEND_SECONDS = 1.0
"""How long a message may wait for a manager that is busy: READY=1 is not said again, and a lost one fails the start."""

END_SECONDS = 10.0
"""What a stop takes beyond `drain_seconds`: the five seconds promised, and a margin on a busy machine."""

log = logging.getLogger("tidegate.server")


class ServiceManager:
    """The manager at this address; none where it is empty. It wants to hear within `watchdog_seconds`, if not 0."""

    def __init__(self, address: str = "", watchdog_seconds: float = 0.0) -> None:
        self.watchdog_seconds = watchdog_seconds
        self._status = ""
        self._stopping = False
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self, status: str) -> None:
        """Tells that connections are accepted, unless the process stops already."""
        self._status = status
        if not self._stopping:
            self._tell("READY=1", f"STATUS={status}")

    @contextmanager
    def reloading(self) -> Generator[None]:
        """Tells that the files are read again, and when that is over, whether or not anything has changed."""
        now = time.monotonic_ns() // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={now}", "STATUS=reading the configuration again")
        try:
            yield
        finally:
            self.ready(self._status)

    def stopping(self, drain_seconds: float) -> None:
        """Tells that the process drains, and asks for the time: a shorter TimeoutStopSec= must not cut answers off."""
        self._stopping = True
        self._tell(
            "STOPPING=1",
            f"STATUS=draining: answers that are being made may take {drain_seconds:g} s more",
            f"EXTEND_TIMEOUT_USEC={round((drain_seconds + END_SECONDS) * 1e6)}",
        )

    @asynccontextmanager
    async def attended(self, stopping: asyncio.Event, drain_seconds: float) -> AsyncGenerator[None]:
        """Tells meanwhile that this loop turns, twice as often as is asked for, and when `stopping` is set."""
        telling = [asyncio.create_task(self._beat()), asyncio.create_task(self._stop(stopping, drain_seconds))]
        try:
            yield
        finally:
            for task in telling:
                task.cancel()

    async def _beat(self) -> None:
        while self.watchdog_seconds:
            # It waits for nobody: the next one comes in time, and this loop serves.
            self._tell("WATCHDOG=1", within=0.0)
            await asyncio.sleep(self.watchdog_seconds / 2)

    async def _stop(self, stopping: asyncio.Event, drain_seconds: float) -> None:
        await stopping.wait()
        self.stopping(drain_seconds)

    def _tell(self, *lines: str, within: float = SEND_SECONDS) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.settimeout(within)
                sock.sendto("\n".join(lines).encode(), self._address)
        except BlockingIOError:
            log.debug("the service manager is busy, and is not told %s", lines[0])
        except OSError as error:
            log.warning("the service manager cannot be told %s: %s", lines[0], error.strerror or error)


def service_manager(environ: MutableMapping[str, str]) -> ServiceManager:
    """The manager that has started this process, if one has. Its variables are taken away: children, which inherit
    them otherwise, are not who it waits for."""
    address, usec, pid = (environ.pop(name, "") for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"))
    watched = usec.isdecimal() and pid in ("", str(os.getpid()))
    return ServiceManager(address if address.startswith(("/", "@")) else "", int(usec) / 1e6 if watched else 0.0)
