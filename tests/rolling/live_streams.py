"""The streams of an update: as soon as one has ended the next one begins, so that as many are live all the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from random import random
from typing import Any

import socket_reader
import sse_reader
from endpoints import Service
from reading import Reading
from update_calls import BROKEN, Line
from update_plan import Plan

from tidegate.core.backoff import Backoff

KINDS = ("goes-on", "upstream", "goes-on", "stays", "client")
"""The models of neighbouring streams, round and round; the client fills its stream itself."""

SOCKETS = 5
"""Each so many-th reader has a WebSocket."""

PATIENCE_SECONDS = 60.0


class Streams:
    """Starts streams, fills those that a client fills, and follows all of them. `is_over` says that none is started
    any more."""

    def __init__(self, plan: Plan, service: Service) -> None:
        self.is_over = False
        self.readings: list[Reading] = []
        self.ended = 0
        self.problems: list[str] = []
        self.refused = 0
        """How often a call was answered 503, or found nobody."""
        self._plan = plan
        self._service = service
        self._numbers = count()
        self._live: dict[str, Reading] = {}

    @property
    def live(self) -> int:
        """How many streams have an event at each of their readers, and no end."""
        return sum(bool(reading.text) for reading in self._live.values())

    async def run(self) -> None:
        """Keeps so many streams as planned alive until it is over, and then reads all of them to their ends."""
        async with asyncio.TaskGroup() as slots:
            for number in range(self._plan.streams):
                slots.create_task(self._slot(KINDS[number % len(KINDS)]))

    async def _slot(self, kind: str) -> None:
        """One stream after the other. They do not begin together."""
        await asyncio.sleep(random() * self._plan.pause)
        while not self.is_over:
            await (self._filled() if kind == "client" else self._generated(kind))

    async def _generated(self, model: str) -> None:
        line, number = Line(self._service.pick), next(self._numbers)
        # Readers whom a server sends away have not left: that cancels nothing.
        leaving = "cancel" if number % 2 else "keep"
        body = {"model": model, "prompt": "x", "background": True, "on_disconnect": leaving}
        started = await self._call(line, "/v1/streams", body, key=f"start-{number}")
        line.close()
        tokens = self._plan.short if model == "stays" else self._plan.tokens
        await self._followed(started["id"], model, self._plan.text(tokens))

    async def _filled(self) -> None:
        line = Line(self._service.pick)
        opened = await self._call(line, "/v1/streams", {"producer": "client"}, key=f"open-{next(self._numbers)}")
        async with asyncio.TaskGroup() as both:
            both.create_task(self._fill(line, opened))
            await self._followed(opened["id"], "client", self._plan.text(self._plan.short))
        line.close()

    async def _fill(self, line: Line, opened: dict[str, Any]) -> None:
        offset = opened["offset"]
        begun = asyncio.get_running_loop().time()
        for number in range(self._plan.short + 1):
            text = f"{' ' if number else ''}w{number}"
            event: dict[str, Any] = {"type": "delta", "data": {"text": text}}
            if number == self._plan.short:
                event = {"type": "completed", "data": {"finish_reason": "stop"}}
            body = {"lease": opened["lease"]["token"], "expected_offset": offset + number, "events": [event]}
            await self._call(line, f"/v1/streams/{opened['id']}/append", body)
            await asyncio.sleep(max(0.0, begun + (number + 1) * self._plan.pause - asyncio.get_running_loop().time()))

    async def _call(self, line: Line, path: str, body: object, key: str = "") -> Any:
        """Repeats a call until it is answered, as a client with patience does. Raises `AssertionError`."""
        backoff, headers = Backoff(random, attempts=None), {"idempotency-key": key} if key else {}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    status, answer = await line.call("POST", path, body, headers)
                except BROKEN:
                    line.close()
                    status, answer = 503, None
                if status != 503:
                    assert 200 <= status < 300, (path, status, answer)
                    return answer
                self.refused += 1
                line.close()
                await asyncio.sleep(min(backoff.failed() or 0.0, 1.0))

    async def _followed(self, stream: str, kind: str, text: str) -> None:
        async with asyncio.TaskGroup() as all_:
            for number in range(self._plan.readers):
                reading = Reading(f"reader {number} of {kind} {stream}", self._plan.pause)
                self._live[reading.name] = reading
                follow: Callable[..., Any] = socket_reader.follow if number % SOCKETS == 4 else sse_reader.follow
                all_.create_task(self._read(follow, stream, reading, text))
        self.ended += 1

    async def _read(self, follow: Callable[..., Any], stream: str, reading: Reading, text: str) -> None:
        await follow(self._service, stream, reading)
        del self._live[reading.name]
        self.readings.append(reading)
        self.problems += reading.check(text)
