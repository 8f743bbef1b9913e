"""Readers: they follow one stream over as many connections as it takes, and note all that they are sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlencode

from tidegate.core.sse import Decoder, ServerSentEvent

from .calls import Answer, Broken, call
from .history import TERMINAL, Event, Reading, Stay
from .plan import ReaderPlan
from .world import World

FOREIGN = "chaos0-7"
"""A cursor that no log has."""

PATIENCE = 1.5
"""Seconds for the head of an answer."""

LATER = (0.01, 0.15)
"""Seconds between two connections: far less than clients wait, so that a short run has many."""

MOST_RECONNECT_SECONDS = 0.3
"""A server that sends its readers away asks for up to 3 s; a run has not so much time."""

PLAIN = ReaderPlan(begins="beginning", at=0, as_message=False, gzip=False, leaves_after=())

GONE = frozenset({400, 401, 403, 404, 410})


async def read(world: World, plan: ReaderPlan, stream_name: str, name: str) -> None:
    """A reader of the plan, from when it comes to the stream's end."""
    line = await world.line(name)
    stream = await world.stream(stream_name)
    if stream is None:
        return
    await asyncio.sleep(plan.at)
    reading = Reading(name, stream, FOREIGN if plan.begins == "foreign" else None)
    world.history.readings.append(reading)
    await Follower(world, lambda: line.url, reading, plan).follow()


class Follower:
    """One reading, as it goes on, of the server that is at `base`. With `node` its connections are noted as stays.

    `node` answers the number of the node that `base` has led to last. `path` is that of a topic's events, which are
    followed from the earliest; `token` is one to read by.
    """

    def __init__(
        self,
        world: World,
        base: Callable[[], str],
        reading: Reading,
        plan: ReaderPlan = PLAIN,
        *,
        node: Callable[[], int] | None = None,
        path: str = "",
        token: str = "",
    ) -> None:
        self._world = world
        self._base = base
        self._reading = reading
        self._plan = plan
        self._node = node
        self._path = path or f"/v1/streams/{reading.stream}/events"
        self._token = token
        self._after = "earliest" if path else reading.after
        self._rng = world.random(f"reader {reading.name}")
        self._leaves = list(plan.leaves_after)
        self._last = ""
        self._pause = 0.0

    async def follow(self) -> None:
        """Comes back until the stream's end."""
        reading = self._reading
        while not (reading.ended or reading.refused or self._world.over):
            with suppress(Broken):
                await self.once(patience=PATIENCE)
            await asyncio.sleep(max(self._pause, self._rng.uniform(*LATER)))
            self._pause = 0.0

    async def once(self, *, patience: float) -> None:
        """One connection, for whose head it waits so many seconds. Raises `Broken`."""
        async with call(self._url(), headers=self._headers(), patience=patience) as answer:
            await self.take(answer)

    async def take(self, answer: Answer) -> None:
        """Takes one answer, up to its end. Raises `Broken`."""
        reading = self._reading
        reading.connections += 1
        if answer.status == 204:
            reading.ended = True
        elif answer.status in GONE:
            reading.refused = answer.status
        elif answer.status == 200 and self._node is None:
            await self._take_events(answer)
        elif answer.status == 200:
            await self._stay(answer, self._node())
        else:
            self._world.judge_status(f"{reading.name} of {reading.stream}", answer.status, "")

    async def _stay(self, answer: Answer, node: int) -> None:
        since = self._world.now()
        try:
            await self._take_events(answer)
        finally:
            stay = Stay(node, since, self._world.now(), self._reading.ended)
            self._reading.stays.append(stay)

    async def _take_events(self, answer: Answer) -> None:
        decoder = Decoder()
        left = self._leaves.pop(0) if self._leaves else None
        silence = self._world.plan.heartbeat_seconds * 3 + 0.5
        async for chunk in answer.chunks(silence=silence):
            for event in decoder.feed(chunk):
                self._note(event)
                if left is not None:
                    left -= 1
            self._last = decoder.last_event_id or self._last
            if self._reading.ended or (left is not None and left <= 0):
                return

    def _note(self, sent: ServerSentEvent) -> None:
        data = json.loads(sent.data)
        kind = data.pop("type") if self._plan.as_message else sent.event
        if kind == "reconnect":
            self._pause = min(data["after_ms"] / 1000, MOST_RECONNECT_SECONDS)
            return
        self._reading.events.append(Event(kind, data, sent.id, round(self._world.now(), 3)))
        self._reading.ended = kind in TERMINAL

    def _url(self) -> str:
        query: dict[str, str] = {}
        if self._plan.begins == "snapshot":
            query["snapshot"] = "1"
        if self._plan.as_message:
            query["events"] = "message"
        if self._after is not None and not self._last:
            query["after"] = self._after
        return self._base() + self._path + (f"?{urlencode(query)}" if query else "")

    def _headers(self) -> dict[str, str]:
        headers = {"accept": "text/event-stream"}
        if self._last:
            headers["last-event-id"] = self._last
        if self._token:
            headers["authorization"] = f"Bearer {self._token}"
        if self._plan.gzip:
            headers["accept-encoding"] = "gzip"
        return headers
