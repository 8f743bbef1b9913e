"""The service: everything that can be done with streams, i.e. start, follow, look at, cancel, list, share, forget."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from secrets import randbits
from time import monotonic, time

from tidegate.core.batching import BatchPolicy
from tidegate.core.cursor import Cursor
from tidegate.core.events import CancelledBy, Event, Failed, GenerationRequest
from tidegate.core.fold import ListedStream, Snapshot, Status, Summary, status_of
from tidegate.core.log import Entry
from tidegate.core.principal import Principal
from tidegate.core.recall import recall
from tidegate.errors import Draining, ModelNotFound, StoreUnavailable, StreamNotFound, TidegateError
from tidegate.observe.base import Observer
from tidegate.observe.metrics.meter import Meter
from tidegate.stores.base import Store
from tidegate.stores.cluster import Cluster, Revoked
from tidegate.stores.records import Claim, Look, StreamRecord
from tidegate.streams.client_streams import Appended
from tidegate.streams.history import beginning, pages
from tidegate.streams.live import Handle
from tidegate.streams.long_answers import Turns
from tidegate.streams.models import Model, offer
from tidegate.streams.node import Node
from tidegate.streams.on_disconnect import OwnerReader
from tidegate.streams.quotas import Quotas, Slot
from tidegate.streams.reader import Reader
from tidegate.streams.readers import Readers, Stay
from tidegate.streams.shares import Shares
from tidegate.streams.snapshots import WholeStream, snapshot_of, whole_of
from tidegate.streams.summaries import Summaries, listed
from tidegate.streams.timing import DEFAULT_TIMING, Timing
from tidegate.streams.topics import Topics

MAX_MESSAGE_BYTES = 1024 * 1024
"""The largest message of a topic: what WebSocket clients, e.g. the `websockets` package's, accept by default."""

logger = logging.getLogger("tidegate.streams")


class Service:
    """The engine's interface. It decides who may see a stream: its owner, holders of its share tokens, and admins."""

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        models: Mapping[str, Model],
        *,
        observer: Observer,
        lease_seconds: float,
        quotas: Quotas | None = None,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        now: Callable[[], float] = time,
        clock: Callable[[], float] = monotonic,
        random_bits: Callable[[int], int] = randbits,
        timing: Timing = DEFAULT_TIMING,
        meter: Meter | None = None,
    ) -> None:
        self.models = models
        self.lease_seconds = lease_seconds
        self._store = store
        self._cluster = cluster
        self._now = now
        self._quotas = quotas or Quotas(cluster, clock=clock)
        self.turns = Turns(store)
        self.shares = Shares(store, now=now, random_bits=random_bits)
        self.readers = Readers(store, cluster, observer=observer, now=now, clock=clock, random_bits=random_bits)
        self.topics = Topics(store, cluster, self.readers, self._quotas, max_message_bytes=max_message_bytes, now=now)
        self.node = Node(
            store,
            cluster,
            self.readers,
            models,
            self._quotas,
            observer=observer,
            lease_seconds=lease_seconds,
            now=now,
            clock=clock,
            random_bits=random_bits,
            timing=timing,
            meter=meter or Meter(),
        )
        self._summaries = Summaries(store, self.node.live)

    async def start(
        self, request: GenerationRequest, *, owner: Principal, grace: float | None, claim: Claim | None = None
    ) -> Handle:
        """Starts a generation that does not depend on its caller's connection; `grace` is as in `OnDisconnect`.

        Raises `ModelNotFound`, `QueueFull`, `Draining`, `RateLimited` or `IdempotencyMismatch`; then none was started.
        """
        self.model(request.model)
        if claim is not None and (earlier := await self._store.claimed(claim)) is not None:
            return Handle(earlier.stream, self.node.live.get(earlier.stream))
        if self.draining:
            raise Draining("this server is about to stop and takes no new generations")
        # The models may have changed while the store was asked.
        return await self.node.generations.start(self.model(request.model), request, owner, grace, claim)

    def model(self, name: str) -> Model:
        """The model of that name. Raises `ModelNotFound`, which lists the models."""
        model = self.models.get(name)
        if model is None:
            raise ModelNotFound(f"there is no model {name[:64]!r}; {offer(tuple(self.models))}", param="model")
        return model

    def seat(self, viewer: Principal) -> Slot:
        """A slot for a reader, to be taken before a stream is started for it. Raises `TooManyReaders`."""
        return self._quotas.seat(viewer.account)

    async def open_client_stream(
        self, metadata: dict[str, str], *, owner: Principal, claim: Claim | None = None
    ) -> tuple[str, str | None]:
        """Opens a client stream, which its caller fills by `append`: its id, and the token of its lease.

        A live stream that is opened again by the same idempotency key gets a new lease, and the old one is fenced; an
        ended one gets none: the token is None. Raises `Draining`, `RateLimited` or `IdempotencyMismatch`.
        """
        if self.draining:
            raise Draining("this server is about to stop and takes no new streams")
        return await self.node.client_streams.open(metadata, owner, claim)

    async def append(
        self, stream: str, viewer: Principal, token: str, expected: int, events: Sequence[Event]
    ) -> Appended:
        """Appends to a client stream, and returns the position after the events.

        Raises `Fenced`, `OffsetMismatch`, `StreamEnded`, `TooLong`, `StorageFull` or `StoreUnavailable`; then nothing
        has changed.
        """
        return await self.node.client_streams.append(await self.record(stream, viewer), token, expected, events)

    async def look(self, stream: str, viewer: Principal) -> Look:
        """The stream's record and tail. Raises `StreamNotFound`, also for a stream that the viewer may not see."""
        found = await self._store.look(stream)
        if viewer.name != found.record.owner and viewer.stream != stream and not viewer.has("admin"):
            raise StreamNotFound(f"there is no stream {stream[:64]!r}")
        return found

    async def record(self, stream: str, viewer: Principal) -> StreamRecord:
        """The stream's record. Raises as `look` does."""
        return (await self.look(stream, viewer)).record

    async def readers_of(self, stream: str, viewer: Principal) -> int:
        """How many readers the stream has on all nodes, from what these have told last; 0 once it has ended.

        Raises as `look` does.
        """
        record = await self.record(stream, viewer)
        return 0 if record.end is not None else self._cluster.total("readers", stream)

    async def at_end(self, stream: str, viewer: Principal, after: Cursor | None) -> bool:
        """Whether the stream has ended and nothing follows the cursor."""
        found = await self.look(stream, viewer)
        return found.record.end is not None and after == found.tail

    async def follow(
        self,
        stream: str,
        viewer: Principal,
        *,
        after: Cursor | None,
        batch: BatchPolicy,
        transport: str,
        max_seconds: float = 0,
        returns: bool = True,
        seat: Slot | None = None,
        resumed: bool = False,
    ) -> Reader:
        """Attaches a reader after the cursor (None: at the beginning), which takes the `seat`; the caller closes it.

        A reader is told to reconnect once it has been attached for `max_seconds` (0: no limit), so that a load balancer
        can move it, and once its credentials expire; `returns` says whether its client can come back, `resumed` whether
        it has done so. Raises `TooManyReaders` if no `seat` is given, and `Unauthenticated` where its share token was
        revoked meanwhile.
        """
        found = await self.look(stream, viewer)
        with seat or self.seat(viewer) as place:
            stay = Stay(viewer, transport, place, self._owner_reader(found.record, viewer), returns=returns)
            reader = self.readers.attach(
                stream,
                stay,
                after=after,
                live_from=found.tail.offset,
                batch=batch,
                max_seconds=max_seconds,
                resumed=resumed,
            )
        if viewer.stream is not None:
            await self._check_guest(reader, viewer)
        return reader

    def _owner_reader(self, record: StreamRecord, viewer: Principal) -> OwnerReader | None:
        if record.owner != viewer.name or record.end is not None:
            return None
        return OwnerReader(self._cluster, record.id, record.grace)

    async def _check_guest(self, reader: Reader, guest: Principal) -> None:
        """Checks a share token again: it may have been revoked between its first check and the reader's attachment."""
        try:
            await self.shares.check(guest)
        except BaseException:
            reader.close()
            raise

    async def beginning(self, stream: str, viewer: Principal) -> Cursor:
        """The position before the stream's first event."""
        return await beginning(self._store, (await self.record(stream, viewer)).id)

    async def answered(self, handle: Handle) -> None:
        """Waits until the provider has accepted the request. Raises the error of a stream that failed before that."""
        if handle.live is not None and (failure := await asyncio.shield(handle.live.answered)) is not None:
            raise failure

    async def failure(self, handle: Handle) -> TidegateError | None:
        """The error that a stream has failed with; its exact status is known only if this process saw it fail."""
        end = (await self._store.look(handle.stream)).record.end
        if not isinstance(end, Failed):
            # What this node has let go may have been completed by another one.
            return None
        seen = None if handle.live is None else handle.live.failure
        if seen is not None and seen.code == end.error.code:
            return seen
        return recall(end.error.type, end.error.code, end.error.message)

    async def whole(self, stream: str, viewer: Principal) -> WholeStream:
        """The stream so far, to be sent in pieces."""
        return await whole_of(self._store, await self.look(stream, viewer), self._summaries.of)

    async def snapshot(self, stream: str, viewer: Principal) -> Snapshot:
        """The stream so far."""
        return (await self.snapshot_and_rest(stream, viewer))[0]

    async def snapshot_and_rest(
        self, stream: str, viewer: Principal, *, most: int | None = None
    ) -> tuple[Snapshot, Cursor]:
        """The stream so far, and the position after which its reader continues, so that the end is still sent.

        The snapshot is that of the stream's beginning if the log has more than `most` bytes.
        """
        await self.record(stream, viewer)
        return await snapshot_of(self._store, stream, self._summaries.of, most)

    async def history(self, stream: str, viewer: Principal) -> AsyncGenerator[Sequence[Entry]]:
        """The log so far, page by page. Raises `StreamNotFound`."""
        await self.record(stream, viewer)
        async for page in pages(self._store, stream):
            yield page

    async def list(
        self, viewer: Principal, *, status: Status | None, before: str | None, limit: int
    ) -> tuple[Sequence[ListedStream], bool]:
        """The viewer's streams, newest first, after `before`; and whether there are more."""
        if before is not None:
            await self.record(before, viewer)
        page, has_more = await self._summaries.page(viewer.name, status, before, limit)
        return [listed(record, summary) for record, summary in page], has_more

    async def list_all(
        self, *, status: Status | None, before: str | None, limit: int
    ) -> tuple[Sequence[tuple[str, Summary]], bool]:
        """All owners' streams, each with its owner. The caller checks who may see them."""
        if before is not None:
            await self._store.look(before)
        page, has_more = await self._summaries.page(None, status, before, limit)
        return [(record.owner, summary) for record, summary in page], has_more

    async def tail(self, stream: str) -> Cursor:
        """The position after the last event of a stream or topic, by its id. Raises `StreamNotFound`."""
        return await self._store.tail(stream)

    async def cancel(self, stream: str, viewer: Principal, reason: str | None) -> tuple[Status, Cursor]:
        """Ends the stream, waits until it has ended, and returns the status that won and its cursor.

        Raises `CancelTimeout` when the process that fills it has not answered in `lease_seconds` + 2. Where the store
        cannot be asked: `StoreUnavailable`; a generation of this node is ended all the same.
        """
        try:
            record = await self.record(stream, viewer)
        except StoreUnavailable:
            self.node.stop_here(stream, viewer.name, reason)
            raise
        found = await self.node.end(record, _canceller(record, viewer), reason)
        return status_of(found.record.end, running=found.record.running), found.tail

    async def forget(self, stream: str, viewer: Principal) -> None:
        """Ends the stream if it is live, gives its readers time to receive the end, and drops it."""
        record = await self.record(stream, viewer)
        await self.node.end(record, _canceller(record, viewer), "deleted")
        await self.readers.parted_everywhere(stream)
        await self._store.forget(stream)

    async def share(self, stream: str, viewer: Principal, ttl_seconds: int) -> tuple[str, float]:
        """A token with which anybody may read the stream, and when it expires, in Unix seconds.

        Raises `TooManyShares`.
        """
        await self.record(stream, viewer)
        return await self.shares.share(stream, ttl_seconds)

    async def unshare(self, stream: str, viewer: Principal) -> None:
        """Revokes all share tokens of the stream; readers that have one are sent away."""
        await self.record(stream, viewer)
        await self.shares.revoke(stream)
        self._cluster.tell(Revoked(stream))
        self.readers.send_guests_away(stream)

    async def expire(self, retention_seconds: float) -> None:
        """Forgets streams and topics that ended longer ago; where the store cannot write, the next call tries again."""
        try:
            if expired := await self._store.expire(self._now() - retention_seconds):
                logger.info("forgot %d streams and topics that ended more than %g s ago", expired, retention_seconds)
        except StoreUnavailable as error:
            logger.warning("what has outlived its retention is kept for now: %s", error.message)

    # From its start to its end

    @property
    def store_fault(self) -> str | None:
        """Why the store cannot be used, for its operator; None where it can."""
        return self._store.fault

    @property
    def draining(self) -> bool:
        """Whether the server is about to stop and accepts no new streams."""
        return self.node.draining

    @property
    def is_open(self) -> bool:
        """Whether `open` has been called, and is done."""
        return self.node.is_open

    async def open(self) -> None:
        """Opens the store, and takes over the streams that a dead process has left; see `Node.open`."""
        await self.node.open()

    async def start_models(self) -> None:
        """Starts every model now, instead of with its first request. Raises `ConfigError`."""
        await asyncio.gather(*(model.start() for model in self.models.values()))

    async def drain(self, seconds: float, siblings: int = 0) -> None:
        """Refuses new streams, gives the live ones `seconds` to finish, ends the rest, and sends readers away.

        So many `siblings` among the other nodes stop at the same time, and are left nothing.
        """
        await self.node.drain(seconds, siblings)

    async def close(self) -> None:
        """Stops everything that is left at once; `drain` comes first when there is time."""
        await self.node.stop()
        self.readers.dismiss()
        self.topics.close()
        for model in self.models.values():
            await model.close()
        await self.node.leave()


def _canceller(record: StreamRecord, viewer: Principal) -> CancelledBy:
    """`server` where the viewer is not the owner, and so an admin of the server."""
    return "client" if viewer.name == record.owner else "server"
