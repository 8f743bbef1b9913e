"""Client streams, which their callers fill: opening one, appending to it, and continuing it in another process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from hmac import compare_digest
from weakref import WeakValueDictionary

import msgspec

from tidegate.core.cursor import Cursor
from tidegate.core.events import Event, Failed
from tidegate.core.principal import Principal
from tidegate.errors import Fenced, Interrupted, StreamEnded
from tidegate.stores.base import Store
from tidegate.stores.cluster import Cluster, Moved
from tidegate.stores.records import Claim, Claimed, Fence, StreamRecord
from tidegate.streams.client_stream import ClientStream, digest
from tidegate.streams.history import holds
from tidegate.streams.holding import acquire, create
from tidegate.streams.live import LiveStream, LiveStreams
from tidegate.streams.quotas import Quotas, Slot
from tidegate.streams.timing import Timing

CLIENT = "client"
"""The `model` of a client stream's record: there is no model."""


class Appended(msgspec.Struct, frozen=True):
    """The position after the events, and whether they are `fresh`, i.e. not an append that was repeated."""

    after: Cursor
    fresh: bool


class ClientStreams:
    """Opens client streams and adds them to `live`, which it shares with the node. A lease lasts for `seconds`."""

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
        # Producers come by the dozen when their node stops, and none waits for another's stream.
        self._moving = WeakValueDictionary[str, asyncio.Lock]()
        self._releasing: set[asyncio.Task[None]] = set()

    async def open(self, metadata: dict[str, str], owner: Principal, claim: Claim | None) -> tuple[str, str | None]:
        """The id of a new stream and the token of its lease; see `Service.open_client_stream`."""
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
        if live is None and record.end is None:
            live = await self._moved(record, digest(token))
        if live is not None:
            try:
                offset, fresh = await live.append(token, expected, events)
            except Fenced:
                if live.knows(token):
                    # Its end is on the way. With that in the log it can be said whether this is a repetition.
                    await asyncio.shield(live.ended)
                record = (await self._store.look(record.id)).record
                if self._live.get(record.id) is live:
                    if live.knows(token) or not compare_digest(record.lease, digest(token)):
                        raise
                    self._live.pass_on(record.id)
                # Another node has filled the stream meanwhile, and the producer has come back from there.
                return await self.append(record, token, expected, events)
        else:
            if not await holds(self._store, record.id, expected, events):
                raise _too_late(record)
            offset = expected + len(events)
        return Appended(await self._store.position(record.id, offset), fresh)

    def adopt(self, fence: Fence, tail: int, lease: bytes, place: Slot) -> ClientStream:
        """Makes this node wait for the producer of a live stream; `lease` is the digest of its lease's token."""

        def over(leased: ClientStream) -> None:
            place.give_back()
            if self._live.discard(leased):
                self._release(leased)

        # Another node may have taken the stream at the same time: the last one to acquire it must be its holder.
        self._cluster.hold(fence.stream)
        place.keep()
        leased = ClientStream(self._store, fence, tail, lease, self._seconds, over, timing=self._timing)
        self._live.add(leased)
        return leased

    def _release(self, leased: ClientStream) -> None:
        if not leased.is_fenced:
            self._cluster.let_go(leased.stream)
            return
        # The node that has acquired the stream ends it, but only if it does not take this node for the holder.
        task = asyncio.get_running_loop().create_task(self._cluster.hand_over(leased.stream))
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def _moved(self, record: StreamRecord, lease: bytes, *, anew: bool = False) -> LiveStream:
        """Takes over a stream whose producer has come from another node, with its lease or, if `anew`, a new one."""
        async with self._moving.setdefault(record.id, asyncio.Lock()):
            live = self._live.get(record.id)
            if live is not None:
                # It has come here while the caller waited, perhaps with the lease that is to be replaced.
                if anew and not await live.renew(lease):
                    raise StreamEnded("the stream has ended")
                return live
            if not record.lease:
                raise Fenced("this stream is filled by its model")
            if not (anew or compare_digest(record.lease, lease)):
                raise Fenced("this lease is not, or no longer, the one that fills the stream")
            # Another node may have replaced the lease since the record was read.
            fence, found = await acquire(self._store, self._cluster, record.id, lease if anew else b"")
            place = self._quotas.place(record.owner, resumed=True)
            leased = self.adopt(fence, found.tail.offset, found.record.lease, place)
            self._cluster.tell(Moved(record.id))
            return leased

    async def _reopened(self, earlier: Claimed, token: str) -> tuple[str, str | None]:
        return earlier.stream, token if await self._renewed(earlier.stream, digest(token)) else None

    async def _renewed(self, stream: str, lease: bytes) -> bool:
        live = self._live.get(stream)
        if live is not None:
            # A node that was paused may have lost the stream: it says that it holds the stream before it acquires it.
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
