"""Everybody who is attached to a stream at this node: counted, told when to go, waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from math import inf
from typing import Protocol

from tidegate.core.batching import BatchPolicy
from tidegate.core.cursor import Cursor
from tidegate.core.notices import AGE, DRAINING, TOKEN_EXPIRED, Reconnect
from tidegate.core.principal import LONGEST_SECONDS, Principal
from tidegate.observe.base import Observer, ReaderAttached, ReaderLeft
from tidegate.stores.base import Store
from tidegate.stores.cluster import Cluster
from tidegate.streams.quotas import Slot
from tidegate.streams.reader import Reader

PARTING_SECONDS = 1.0
"""How long readers are waited for after their stream has ended or they were asked to reconnect. A stop waits for it
three times, and has five seconds in all."""

RECONNECT_MS = (500, 3000)
"""When readers that are sent away come back: spread, so that they do not come together."""

RETURN_SECONDS = 10.0
"""What a reader that was sent away has at the least to come back: `RECONNECT_MS`, and to get a new token."""


class Attending(Protocol):
    """What has to know that a reader comes and goes: `OwnerReader`, or a topic's roll."""

    def arrive(self) -> None: ...

    def leave(self, *, at_least: float = 0.0) -> None: ...


class Stay:
    """How one reader is attached: what it counts in, how it is called, and for how long it may.

    `returns` says whether its client can come back to its stream. `time_to_return` is what it has for that once it has
    left, in seconds: 0 until it is sent away, and for ever where the server stops.
    """

    def __init__(
        self, viewer: Principal, transport: str, seat: Slot, attendance: Attending | None, *, returns: bool = True
    ) -> None:
        self.viewer = viewer
        self.transport = transport
        self.seat = seat
        self.attendance = attendance
        self.returns = returns
        self.time_to_return = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.number = 0
        self.since = 0.0

    @property
    def name(self) -> str:
        """What observers know its reader by."""
        return f"rd_{self.number:016x}"


class Readers:
    """The readers there are. `now` is in Unix seconds, `clock` in seconds of any origin."""

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        *,
        observer: Observer,
        now: Callable[[], float],
        clock: Callable[[], float],
        random_bits: Callable[[int], int],
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._observer = observer
        self._now = now
        self._clock = clock
        self._random_bits = random_bits
        self._stays: dict[Reader, Stay] = {}
        self._partings: list[_Parting] = []
        # One for all readers, rather than one bound to each.
        self._on_left = self._left

    @property
    def readers(self) -> Collection[Reader]:
        """All of them."""
        return tuple(self._stays)

    def of(self, stream: str) -> list[Reader]:
        """Those of one stream."""
        return [reader for reader in self._stays if reader.stream == stream]

    def transport_of(self, reader: Reader) -> str:
        """What the reader came by: `sse`, `json` or `websocket`."""
        return self._stays[reader].transport

    def send_guests_away(self, stream: str) -> None:
        """Asks the readers of one stream that came by a share token to come back: its tokens were revoked."""
        for reader in self.of(stream):
            if self._stays[reader].viewer.stream is not None:
                self.send_away(reader, TOKEN_EXPIRED)

    def attach(
        self,
        stream: str,
        stay: Stay,
        *,
        after: Cursor | None,
        live_from: int,
        batch: BatchPolicy,
        max_seconds: float,
    ) -> Reader:
        """A reader after the cursor; see `Service.follow`."""
        stay.number, stay.since = self._random_bits(64), self._clock()
        reader = Reader(self._store, stream, after=after, live_from=live_from, batch=batch, on_close=self._on_left)
        stay.seat.keep()
        self._stays[reader] = stay
        self._cluster.add("readers", stream, 1)
        self._limit(reader, stay, max_seconds)
        if stay.attendance is not None:
            stay.attendance.arrive()
        self._observer.observe(ReaderAttached(stream, stay.name, stay.transport, stay.viewer.name))
        return reader

    def send_away(self, reader: Reader, reason: str) -> None:
        """Asks a reader to come back, at a time that spreads those who are asked together.

        It has a while for that, whatever its stream's grace. Who cannot come back has left like anybody else: nothing
        is generated for nobody.
        """
        if not self.excuse(reader, reason):
            return
        low, high = RECONNECT_MS
        reader.ask_to_reconnect(Reconnect(low + self._random_bits(32) % (high - low), reason))

    def excuse(self, reader: Reader, reason: str) -> bool:
        """Whoever takes a reader's connection away says so first: it has a while to return. False where it has left."""
        stay = self._stays.get(reader)
        if stay is None:
            return False
        if reason == DRAINING:
            # No departure means anything then.
            stay.time_to_return = inf
        elif stay.returns:
            stay.time_to_return = max(stay.time_to_return, RETURN_SECONDS)
        return True

    async def parted(self, readers: Collection[Reader]) -> None:
        """Waits until they have left, but not for long."""
        parting = _Parting(set(readers))
        if parting.readers:
            self._partings.append(parting)
            await asyncio.wait((parting.over,), timeout=PARTING_SECONDS)
            self._partings.remove(parting)

    async def parted_everywhere(self, stream: str) -> None:
        """Waits until nobody reads the stream on any node, but not for long."""
        over = asyncio.get_running_loop().create_future()

        def look() -> None:
            if not over.done() and not self._cluster.total("readers", stream):
                over.set_result(None)

        self._cluster.watch("readers", stream, look)
        look()
        await asyncio.wait((over,), timeout=PARTING_SECONDS)
        self._cluster.unwatch("readers", stream, look)

    def dismiss(self) -> None:
        """Closes all of them at once; it was not they who wanted to go."""
        for reader, stay in tuple(self._stays.items()):
            stay.time_to_return = inf
            reader.told = True
            reader.close()

    def _limit(self, reader: Reader, stay: Stay, max_seconds: float) -> None:
        valid = stay.viewer.valid_for(self._now())
        if 0 < max_seconds < (LONGEST_SECONDS if valid is None else valid):
            seconds, reason = max_seconds, AGE
        elif valid is not None:
            seconds, reason = valid, TOKEN_EXPIRED
        else:
            return
        stay.timer = asyncio.get_running_loop().call_later(seconds, self.send_away, reader, reason)

    def _left(self, reader: Reader) -> None:
        stay = self._stays.pop(reader)
        if stay.timer is not None:
            stay.timer.cancel()
        stay.seat.give_back()
        self._cluster.add("readers", reader.stream, -1)
        for parting in self._partings:
            parting.left(reader)
        if stay.attendance is not None:
            stay.attendance.leave(at_least=stay.time_to_return)
        reason = "ended" if reader.at_end else "asked" if reader.told else "disconnected"
        seconds = self._clock() - stay.since
        self._observer.observe(ReaderLeft(reader.stream, stay.name, stay.transport, reader.delivered, seconds, reason))


class _Parting:
    """Readers that are about to leave; `over` is done when the last of them has."""

    def __init__(self, readers: set[Reader]) -> None:
        self.readers = readers
        self.over = asyncio.get_running_loop().create_future()

    def left(self, reader: Reader) -> None:
        self.readers.discard(reader)
        if not self.readers and not self.over.done():
            self.over.set_result(None)
