"""Whether events come as they are sent, and whether a reader that comes back goes on where it was."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from tidegate.client.doctor.caller import Caller
from tidegate.client.doctor.event_reader import GZIP, EventReader
from tidegate.client.doctor.own_stream import OwnStream, OwnStreams
from tidegate.client.doctor.seen import Delivery, Read
from tidegate.client.doctor.trouble import Unanswered
from tidegate.http_client.errors import BrokenOff

TEXTS = ("one ", "two ", "three ")


class _Seat:
    """One reader, and how it fares. Once an event is late the rest is not waited for."""

    def __init__(self, reader: EventReader, patience: float) -> None:
        self.reader = reader
        self._patience = patience
        self._delays: list[float] = []
        self._late = False

    async def begin(self) -> None:
        """Waits for the stream's first event, which was in the log before. Raises `Unanswered`."""
        reader = self.reader
        await reader.hearing.until(lambda: bool(reader.kinds), self._patience)
        if reader.refused is not None:
            raise Unanswered(reader.refused)
        self._check()
        self._late = not reader.kinds

    async def hear(self, text: str, since: float) -> None:
        """Waits for a text that is in the log; it was sent at `since`, by the loop's clock. Raises `BrokenOff`."""
        if self._late:
            return
        hearing = self.reader.hearing
        self._late = not await hearing.until(lambda: text in hearing.text, self._patience)
        if self._late:
            self._check()
        else:
            self._delays.append(max(0.0, hearing.last_at - since))

    def _check(self) -> None:
        """Raises `SentAway` where the server has sent the reader away, and `BrokenOff` where something else has."""
        if self.reader.hearing.sent_away:
            raise self.reader.away
        if self.reader.hearing.over:
            raise BrokenOff("breaks an event stream off that has not ended")

    async def end(self, last: str, seconds: float) -> Read:
        """How it fared, once the stream has ended, whose end it waits for so long."""
        hearing = self.reader.hearing
        await hearing.until(lambda: self.reader.has_ended, seconds)
        return Read(
            delays_s=self._delays,
            late=self._late,
            at_end=last in hearing.text,
            encoding=self.reader.encoding,
            patience_s=self._patience,
        )


async def measure(caller: Caller, own: OwnStreams, *, patience: float, end: float) -> Delivery:
    """Fills a stream with three texts, each once the one before has come, or once it is clear that it does not come.

    Each has `patience` seconds, the end of the stream `end`. Raises as `OwnStream` does.
    """
    stream = await own.open()
    path = f"{stream.path}/events"
    async with AsyncExitStack() as stack:
        readers = [
            await stack.enter_async_context(caller.events(path, headers)) for headers in ({}, {"accept-encoding": GZIP})
        ]
        seats = [_Seat(reader, patience) for reader in readers]
        first = await _told(stream, seats)
        plain, gzip = await asyncio.gather(*(seat.end(TEXTS[-1], end) for seat in seats))
    return Delivery(plain=plain, gzip=gzip, resumed=await _resumed(caller, path, first, end))


async def _told(stream: OwnStream, seats: list[_Seat]) -> str:
    """Tells the texts, and ends the stream; returns the cursor of the first one."""
    async with stream.kept():
        await asyncio.gather(*(seat.begin() for seat in seats))
        cursors: list[str] = []
        for text in TEXTS:
            since = asyncio.get_running_loop().time()
            cursors.append(await stream.say(text))
            await asyncio.gather(*(seat.hear(text, since) for seat in seats))
        await stream.complete()
    return cursors[0]


async def _resumed(caller: Caller, path: str, cursor: str, seconds: float) -> list[str]:
    """The types of the events that a reader gets which comes back to the ended stream with this cursor."""
    async with caller.events(path, {"last-event-id": cursor}) as reader:
        await reader.hearing.until(lambda: reader.has_ended, seconds)
        if reader.refused is not None:
            raise Unanswered(reader.refused)
        return reader.kinds
