"""Serves all readers at one stream's tail together: events are taken, encoded and framed once, and written to each.

Between two writes the kernel's work evicts our data from the processor's caches, so the cost of a reader is in the
objects that are touched for it, not in the code that runs. Here that is one bound method.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from itertools import islice
from typing import Any, Protocol
from weakref import WeakValueDictionary

from tidegate.core.log import Entry
from tidegate.core.notices import Notice
from tidegate.delivery.compression import Deflate, Gzip
from tidegate.delivery.reader_port import ReaderPort
from tidegate.dialects.base import Dialect
from tidegate.observe.metrics.deliveries import Deliveries


class Member(Protocol):
    """One delivery. `write` hands framed bytes to its connection, and raises where the connection is closing.

    `state` is the dialect's state at the reader's position; while the delivery is a member, the broadcast keeps it.
    `first` is set while the broadcast knows it as the only reader at the tail; `last_write` is in the loop's time.
    """

    first: bool
    last_write: float

    reader: ReaderPort
    state: Any
    write: Callable[[bytes], None]
    frame: Callable[[bytes], bytes]
    gzip: Gzip | None

    def come_along(self) -> None:
        """Joins the broadcast, if it can."""
        ...

    def go_alone(self) -> None:
        """Leaves the broadcast and continues alone."""
        ...

    def fail(self, error: Exception) -> None:
        """Leaves the broadcast and ends with this error."""
        ...


class Broadcast:
    """Its members share the position of one reader of its own, the lead, which takes the events for all of them.

    The first reader at the tail is served by itself until a second one comes. A member leaves when it cannot be sent
    what the others are: it is full, gone, or asked to reconnect. All leave at the stream's end, and when the log has
    more than one page to catch up on. The dialect's state comes from the first member and advances with the lead; a
    member that leaves gets a copy.
    """

    __slots__ = (
        "__weakref__",
        "_compressed",
        "_deflate",
        "_dialect",
        "_first",
        "_heartbeat",
        "_heartbeat_seconds",
        "_last_write",
        "_lead",
        "_members",
        "_meter",
        "_order",
        "_state",
    )

    def __init__(self, dialect: Dialect[Any], heartbeat_seconds: float, meter: Deliveries, *, compressed: bool) -> None:
        self._dialect = dialect
        self._meter = meter
        self._state: Any = None
        self._compressed = compressed
        self._deflate: Deflate | None = None
        self._heartbeat_seconds = heartbeat_seconds
        self._first: Member | None = None
        self._members: dict[Member, Callable[[bytes], None]] = {}
        self._order: tuple[tuple[Member, ...], tuple[Callable[[bytes], None], ...]] | None = None
        self._lead: ReaderPort | None = None
        self._last_write = 0.0
        self._heartbeat: asyncio.TimerHandle | None = None

    def join(self, member: Member) -> bool:
        """Takes a member in if its reader is at the lead's position. It has to have sent all that its reader took.

        False where it is served by itself: it is the first, or it has to ask again after its next write.
        """
        first = self._first
        if self._lead is None and (first is None or first is member):
            self._first = member
            member.first = True
            return False
        if self._lead is None:
            self._open(member.reader.twin(), member.state)
        joined = self._lead is not None and member.reader.go_along(self._lead)
        if joined and self._deflate is not None and member.gzip is not None and not member.gzip.join(self._deflate):
            member.reader.part()
            joined = False
        if joined:
            member.state = None
            self._members[member] = member.write
            self._order = None
            self._beat_by(member.last_write)
        else:
            self._close_if_empty()
        if first is not None:
            self.forget_first(first)
            first.come_along()
        return joined

    def forget_first(self, member: Member) -> None:
        """Forgets a member that was the first, since it leaves, or may join."""
        if self._first is member:
            self._first = None
        member.first = False

    def leave(self, member: Member) -> None:
        """Removes a member. Its reader continues alone from the lead's position."""
        del self._members[member]
        self._order = None
        member.reader.part()
        if not member.reader.at_end:
            member.state = self._dialect.fork(self._state)
        if self._deflate is not None and member.gzip is not None:
            member.gzip.leave(self._deflate)
        self._close_if_empty()

    def _open(self, lead: ReaderPort, state: Any) -> None:
        loop = asyncio.get_running_loop()
        self._lead, self._state = lead, state
        self._deflate = Deflate() if self._compressed else None
        self._last_write = loop.time()
        if self._dialect.heartbeat:
            self._heartbeat = loop.call_later(self._heartbeat_seconds, self._beat)
        lead.on_news(self._news)

    def _beat_by(self, last_write: float) -> None:
        """Brings the heartbeat forward for a member that was last written to at this time."""
        if self._heartbeat is not None and last_write < self._last_write:
            self._last_write = last_write
            self._heartbeat.cancel()
            due = last_write + self._heartbeat_seconds
            self._heartbeat = asyncio.get_running_loop().call_at(due, self._beat)

    def _close_if_empty(self) -> None:
        if self._lead is not None and not self._members:
            if self._heartbeat is not None:
                self._heartbeat.cancel()
                self._heartbeat = None
            self._lead.close()
            self._lead = self._state = self._deflate = None

    def _news(self) -> None:
        """Runs within the append that brings news: it must not raise into it."""
        lead = self._lead
        if lead is None:
            return
        now = asyncio.get_running_loop().time()
        try:
            found = lead.take(now)
            if found is None:
                return
            body = self._encoded(found, merge=lead.mergeable)
        except Exception as error:
            for member in tuple(self._members):
                member.fail(error)
            return
        if body:
            self._write(body, now)
            if not isinstance(found, Notice):
                self._meter.wrote(lead.stream, len(self._members))
        if lead.at_end or lead.more:
            for member in tuple(self._members):
                member.go_alone()

    def _encoded(self, found: Sequence[Entry] | Notice, *, merge: bool) -> bytes:
        if isinstance(found, Notice):
            self._meter.told(found, len(self._members))
            return self._dialect.notice(self._state, found)
        if merge:
            self._meter.merged(found, len(self._members))
        return self._dialect.encode(self._state, found, merge=merge)

    def _write(self, body: bytes, now: float) -> None:
        self._last_write = now
        if self._order is None:
            self._order = tuple(self._members), tuple(self._members.values())
        members, writes = self._order
        if not members:
            return
        if self._deflate is not None:
            plain, body = body, self._deflate.block(body)
            self._meter.compressed(plain, body, len(members))
        framed = members[0].frame(body)
        done = 0
        while done < len(writes):
            try:
                for write in islice(writes, done, None):
                    done += 1
                    write(framed)
            except Exception as error:
                members[done - 1].fail(error)

    def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        due = self._last_write + self._heartbeat_seconds
        if due <= loop.time():
            self._write(self._dialect.heartbeat, loop.time())
            due = self._last_write + self._heartbeat_seconds
        if self._members:
            self._heartbeat = loop.call_at(due, self._beat)


class Broadcasts:
    """The broadcasts of one application: one for each stream, dialect and coding, while a delivery refers to it."""

    def __init__(self, heartbeat_seconds: float) -> None:
        self._heartbeat_seconds = heartbeat_seconds
        self._held: WeakValueDictionary[Hashable, Broadcast] = WeakValueDictionary()

    def of(self, stream: str, dialect: Dialect[Any], meter: Deliveries, *, compressed: bool) -> Broadcast:
        """The broadcast that all readers of a stream with the same dialect and coding share."""
        key = (stream, dialect, compressed)
        found = self._held.get(key)
        if found is None:
            found = self._held[key] = Broadcast(dialect, self._heartbeat_seconds, meter, compressed=compressed)
        return found
