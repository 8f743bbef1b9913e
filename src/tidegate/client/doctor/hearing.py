"""What has come over one connection, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Hearing:
    """`text` is that of all events so far. `sent_away`: the server has asked the client to come back, or has said why
    it closes; what ends then was not cut. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.text = ""
        self.sent_away = False
        self.over_at: float | None = None
        self.began_at = self.last_at = clock()
        self._clock = clock
        self._news = asyncio.Event()

    @property
    def over(self) -> bool:
        """Whether the connection is lost, or its answer has ended."""
        return self.over_at is not None

    def came(self) -> None:
        """Something has come."""
        self.last_at = self._clock()
        self._news.set()

    def end(self) -> None:
        """Nothing more will come."""
        if self.over_at is None:
            self.over_at = self._clock()
        self._news.set()

    async def until(self, truth: Callable[[], bool], seconds: float) -> bool:
        """Waits for something to be true, but not once the connection is over; returns whether it is."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                while not (truth() or self.over):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            pass
        return truth()
