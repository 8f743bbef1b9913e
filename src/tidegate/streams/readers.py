"""The readers attached at this node: counts them, tells them when to reconnect, and waits until they have left."""

from __future__ import annotations

import asyncio
from collections import Counter
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
"""How long readers are waited for after their stream has ended or they were asked to reconnect. A stop waits three
times for so long, and has five seconds in all."""

RECONNECT_MS = (500, 3000)
"""The range from which `after_ms` is drawn for readers that are sent away, so that they do not all come back at once.
"""

SOON_MS = (100, 500)
"""The same range where another node serves the stream, and the readers are not asked all at once."""

BRIEFLY_SECONDS = 1.0
"""How long a reader may stay that comes to a node that stops, where others serve it as well. Whoever sent it here may
not know yet that the node stops, and sends it here again: it gets what there is each time."""

RETURN_SECONDS = 10.0
"""The least time that a reader that was sent away has to come back: `RECONNECT_MS`, and the time to get a new token.
"""


class Attending(Protocol):
    """Is told when a reader attaches and detaches: an `OwnerReader`, or an `Attender` in a topic's roll."""

    def arrive(self) -> None: ...

    def leave(self, *, at_least: float = 0.0) -> None: ...


class Stay:
    """One reader's attachment: its principal, transport and slot, what counts it, and the timer that ends it.

    `returns` says whether the reader's client can come back to its stream. `time_to_return` is how many seconds it has
    for that once it has left: 0 until it is sent away, infinite when the server stops.
    """

    # Half the memory of an instance with a dict.
    __slots__ = ("number", "owner_reader", "returns", "seat", "since", "time_to_return", "timer", "transport", "viewer")

    def __init__(
        self, viewer: Principal, transport: str, seat: Slot, owner_reader: Attending | None, *, returns: bool = True
    ) -> None:
        self.viewer = viewer
        self.transport = transport
        self.seat = seat
        self.owner_reader = owner_reader
        self.returns = returns
        self.time_to_return = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.number = 0
        self.since = 0.0

    @property
    def name(self) -> str:
        """The reader's name in logs and metrics."""
        return f"rd_{self.number:016x}"


class Readers:
    """The readers of this node. `now` is in Unix seconds, `clock` in seconds of any origin."""

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
        self.moving_on = False
        """Whether this node stops, and its readers go on at other nodes: one that still comes may stay briefly."""
        self._stays: dict[Reader, Stay] = {}
        self._partings: list[_Parting] = []
        # One bound method for all readers, rather than one for each.
        self._on_left = self._left

    @property
    def attached(self) -> Collection[Reader]:
        """All readers of this node."""
        return tuple(self._stays)

    def of(self, stream: str) -> list[Reader]:
        """The readers of one stream."""
        return [reader for reader in self._stays if reader.stream == stream]

    def transport_of(self, reader: Reader) -> str:
        """The reader's transport: `sse`, `json` or `websocket`."""
        return self._stays[reader].transport

    def unable_to_return(self) -> Counter[str]:
        """How many owner readers each stream has here whose clients cannot come back to it."""
        return Counter(
            reader.stream for reader, stay in self._stays.items() if stay.owner_reader is not None and not stay.returns
        )

    def can_return(self, reader: Reader) -> bool:
        """Whether the reader's client can come back to its stream."""
        stay = self._stays.get(reader)
        return stay is None or stay.returns

    def send_guests_away(self, stream: str) -> None:
        """Asks the readers of one stream that have a share token to reconnect: the stream's tokens were revoked."""
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
        resumed: bool = False,
    ) -> Reader:
        """Attaches a reader after the cursor; see `Service.follow`."""
        stay.number, stay.since = self._random_bits(64), self._clock()
        reader = Reader(self._store, stream, after=after, live_from=live_from, batch=batch, on_close=self._on_left)
        stay.seat.keep()
        self._stays[reader] = stay
        self._cluster.add("readers", stream, 1)
        self._limit(reader, stay, max_seconds)
        if stay.owner_reader is not None:
            stay.owner_reader.arrive()
        self._observer.observe(ReaderAttached(stream, stay.name, stay.transport, stay.viewer.name, resumed))
        return reader

    def send_away(self, reader: Reader, reason: str) -> None:
        """Asks a reader to reconnect, after a random time, so that readers asked together do not come back together.

        The reader has `RETURN_SECONDS` for that, even if its stream's grace is shorter. A reader that cannot come back
        counts as one that has left: no answer is generated for nobody.
        """
        if not self.excuse(reader, reason):
            return
        low, high = SOON_MS if self.moving_on else RECONNECT_MS
        reader.ask_to_reconnect(Reconnect(low + self._random_bits(32) % (high - low), reason))

    def excuse(self, reader: Reader, reason: str) -> bool:
        """Gives a reader time to return; called before its connection is taken away. False if it has left already."""
        stay = self._stays.get(reader)
        if stay is None:
            return False
        if reason == DRAINING:
            # A stop makes readers leave that want to stay, so their departures must not count.
            stay.time_to_return = inf
        elif stay.returns:
            stay.time_to_return = max(stay.time_to_return, RETURN_SECONDS)
        return True

    async def parted(self, readers: Collection[Reader]) -> None:
        """Waits until these readers have left, at most for `PARTING_SECONDS`."""
        parting = _Parting(set(readers))
        if parting.readers:
            self._partings.append(parting)
            try:
                await asyncio.wait((parting.over,), timeout=PARTING_SECONDS)
            finally:
                self._partings.remove(parting)

    async def parted_everywhere(self, stream: str) -> None:
        """Waits until the stream has no readers on any node, at most for `PARTING_SECONDS`."""
        over = asyncio.get_running_loop().create_future()

        def look() -> None:
            if not over.done() and not self._cluster.total("readers", stream):
                over.set_result(None)

        self._cluster.watch("readers", stream, look)
        try:
            look()
            await asyncio.wait((over,), timeout=PARTING_SECONDS)
        finally:
            self._cluster.unwatch("readers", stream, look)

    def dismiss(self) -> None:
        """Closes all readers at once; their departures do not count, since they did not want to leave."""
        for reader, stay in tuple(self._stays.items()):
            stay.time_to_return = inf
            reader.told = True
            reader.close()

    def _limit(self, reader: Reader, stay: Stay, max_seconds: float) -> None:
        valid = stay.viewer.valid_for(self._now())
        if self.moving_on and stay.returns:
            seconds, reason = BRIEFLY_SECONDS, DRAINING
        elif 0 < max_seconds < (LONGEST_SECONDS if valid is None else valid):
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
        if stay.owner_reader is not None:
            stay.owner_reader.leave(at_least=stay.time_to_return)
        reason = "ended" if reader.at_end else "asked" if reader.told else "disconnected"
        seconds = self._clock() - stay.since
        self._observer.observe(ReaderLeft(reader.stream, stay.name, stay.transport, reader.delivered, seconds, reason))


class _Parting:
    """Readers that are about to leave; `over` is done when the last of them has left."""

    def __init__(self, readers: set[Reader]) -> None:
        self.readers = readers
        self.over = asyncio.get_running_loop().create_future()

    def left(self, reader: Reader) -> None:
        self.readers.discard(reader)
        if not self.readers and not self.over.done():
            self.over.set_result(None)
