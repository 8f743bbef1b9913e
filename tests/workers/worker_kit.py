"""A stand-in for a worker process, which dies, hangs and fails when a test says so."""

from __future__ import annotations

import asyncio
import signal

from tidegate.config import Changes, Settings
from tidegate.errors import TidegateError
from tidegate.observe.metrics.series import Series
from tidegate.workers.messages import Prepare


class Worker:
    """As much of a worker process as its keeper uses. It gets ready for other settings once it `may_prepare`."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.pid = 1
        self.age = 1.0
        self.code: int | None = None
        self.told: list[list[int]] = []
        self.stopped = 0
        self.measured: list[Series] = []
        self.settings = settings or Settings()
        self.orders: list[str] = []
        self.fault: TidegateError | None = None
        self.answers = True
        self.hangs = False
        self.signals: list[signal.Signals] = []
        self.may_prepare = asyncio.Event()
        self.may_prepare.set()
        self._dead = asyncio.Event()

    @property
    def death(self) -> str | None:
        return None if self.code is None else f"exit code {self.code}"

    async def died(self) -> None:
        await self._dead.wait()

    def die(self, code: int) -> None:
        self.code = code
        self._dead.set()

    async def measure(self) -> list[Series]:
        return self.measured

    async def prepare(self, order: Prepare) -> bool:
        self.orders.append("prepare")
        await self.may_prepare.wait()
        if self.fault is not None:
            raise self.fault
        return self.code is None and not self.hangs

    async def take(self, settings: Settings) -> Changes | None:
        self.orders.append("take")
        self.settings = settings
        return None if self.code is not None else Changes(ignored=("server.port",))

    def drop(self) -> None:
        self.orders.append("drop")

    def listen(self, numbers: list[int]) -> None:
        self.told.append(list(numbers))

    def stop(self) -> None:
        self.stopped += 1

    def signal(self, which: signal.Signals) -> None:
        """It hangs so that only the second ends it, as one that is stopped."""
        self.signals.append(which)
        if which == signal.SIGKILL:
            self.die(-which)

    async def end(self, *, hangs: bool = False) -> None:
        self.orders.append("abort" if hangs else "end")
        if self.code is None:
            self.die(-9)
