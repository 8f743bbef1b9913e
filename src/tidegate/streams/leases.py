"""The streams that their callers fill: opening one, appending to it, and going on with it in another process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from hmac import compare_digest

import msgspec

from tidegate.core.cursor import Cursor
from tidegate.core.events import Event, Failed
from tidegate.core.principal import Principal
from tidegate.errors import Fenced, Interrupted, StreamEnded
from tidegate.stores.base import Store
from tidegate.stores.cluster import Cluster, Moved
from tidegate.stores.records import Claim, Claimed, Fence, StreamRecord
from tidegate.streams.history import holds
from tidegate.streams.holding import acquire, create
from tidegate.streams.leased import Leased, digest
from tidegate.streams.live import LiveStream, LiveStreams
from tidegate.streams.quotas import Place, Quotas
from tidegate.streams.timing import Timing

CLIENT = "client"
"""Stands where the model's name does."""


class Appended(msgspec.Struct, frozen=True):
    """The position after the events, and whether they are `fresh`: an append may have been repeated."""

    after: Cursor
    fresh: bool


class Leases:
    """Puts what it opens into `live`, which it shares with the service. A lease lasts for `seconds`."""

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        live: LiveStreams,
        quotas: Quotas,
        *,
        seconds: float,
        now: Callable[[], float],
        random_bits: Callable[[int], int],
        timing: Timing,
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._live = live
        self._quotas = quotas
        self._seconds = seconds
        self._now = now
        self._random_bits = random_bits
        self._timing = timing
        self._moving = asyncio.Lock()

    async def open(self, metadata: dict[str, str], owner: Principal, claim: Claim | None) -> tuple[str, str | None]:
        """The id of a new stream and the token of its lease; see `Service.open_leased`."""
        token = f"lease_{self._random_bits(256):064x}"
        if claim is not None and (earlier := await self._store.claimed(claim)) is not None:
            return await self._reopened(earlier, token)
        record = StreamRecord(
            id=f"gen_{self._random_bits(128):032x}",
            owner=owner.name,
            model=CLIENT,
            created_at=round(self._now(), 3),
            metadata=metadata,
            running=True,
            lease=digest(token),
        )
        with self._quotas.place(owner.account) as place:
            fence = await create(self._store, self._cluster, record, claim)
            if isinstance(fence, Claimed):
                return await self._reopened(fence, token)
            self.adopt(fence, 1, record.lease, place)
        return record.id, token

    async def append(self, record: StreamRecord, token: str, expected: int, events: Sequence[Event]) -> Appended:
        """See `Service.append`."""
        live, fresh = self._live.get(record.id), False
        if live is not None:
            try:
                offset, fresh = await live.append(token, expected, events)
            except Fenced:
                record = (await self._store.look(record.id)).record
                if self._live.get(record.id) is live:
                    if live.knows(token) or not compare_digest(record.lease, digest(token)):
                        raise
                    self._live.pass_on(record.id)
                # Another node has had it meanwhile, and the producer has come from there.
                return await self.append(record, token, expected, events)
        elif record.end is None:
            offset, fresh = await (await self._moved(record, digest(token))).append(token, expected, events)
        else:
            if not await holds(self._store, record.id, expected, events):
                raise _too_late(record)
            offset = expected + len(events)
        return Appended(await self._store.position(record.id, offset), fresh)

    def adopt(self, fence: Fence, tail: int, lease: bytes, place: Place) -> Leased:
        """Waits for the producer of a live stream, whose lease's token has this digest."""

        def over(leased: Leased) -> None:
            place.give_back()
            self._live.remove(leased)

        place.keep()
        leased = Leased(self._store, fence, tail, lease, self._seconds, over, timing=self._timing)
        self._live.add(leased)
        return leased

    async def _moved(self, record: StreamRecord, lease: bytes, *, anew: bool = False) -> LiveStream:
        """The producer has come to another node than before, with its lease or, `anew`, with one that replaces it."""
        async with self._moving:
            live = self._live.get(record.id)
            if live is not None:
                return live
            if not record.lease:
                raise Fenced("this stream is filled by its model")
            if not (anew or compare_digest(record.lease, lease)):
                raise Fenced("this lease is not, or no longer, the one that fills the stream")
            fence, tail = await acquire(self._store, self._cluster, record.id, lease)
            leased = self.adopt(fence, tail, lease, self._quotas.place(record.owner, resumed=True))
            self._cluster.tell(Moved(record.id))
            return leased

    async def _reopened(self, earlier: Claimed, token: str) -> tuple[str, str | None]:
        return earlier.stream, token if await self._renewed(earlier.stream, digest(token)) else None

    async def _renewed(self, stream: str, lease: bytes) -> bool:
        live = self._live.get(stream)
        if live is not None:
            # A node that was paused may not have it any more: it says that it has before it acquires it.
            self._cluster.hold(stream)
            renewed = await live.renew(lease)
            if self._live.get(stream) is not live:
                self._cluster.let_go(stream)
            return renewed
        record = (await self._store.look(stream)).record
        if record.end is not None:
            return False
        try:
            await self._moved(record, lease, anew=True)
        except StreamEnded:
            return False
        return True


def _too_late(record: StreamRecord) -> Fenced | StreamEnded:
    if isinstance(record.end, Failed) and record.end.error.code == Interrupted.code:
        return Fenced("this lease is not, or no longer, the one that fills the stream")
    return StreamEnded("the stream has ended")
