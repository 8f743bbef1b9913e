"""A store in the memory of this process. Its content is gone with the process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice, takewhile
from secrets import randbits
from time import monotonic, time

import msgspec

from tidegate.core.cursor import Cursor, new_epoch
from tidegate.core.events import Appendable, Event, Published
from tidegate.core.fold import Status, status_of
from tidegate.core.kept_log import RELEASED, KeptLog, release
from tidegate.core.log import NO_LIMIT, Entry, Log
from tidegate.core.steps import Steps, until
from tidegate.core.topic import is_topic
from tidegate.errors import Fenced, OffsetMismatch, StreamNotFound
from tidegate.stores.ledger import BLOCK_BYTES, FULL, SHARE_BYTES, Charge, Ledger
from tidegate.stores.local_cluster import LocalNode, Nodes
from tidegate.stores.packing import Packing
from tidegate.stores.records import (
    TOPIC_HISTORY,
    Claim,
    Claimed,
    Fence,
    Found,
    Look,
    Share,
    StreamRecord,
    TopicRecord,
    Unwatch,
    asked_only,
    base_of,
    check_body,
    check_room,
)
from tidegate.stores.topic_charges import TopicCharges
from tidegate.stores.topic_log import TopicLog, TopicLogs, no_topic, weight_of
from tidegate.stores.traits import Options, Traits
from tidegate.stores.watchers import wake_all

STORED_BYTES = 1 << 30
"""Bytes that the streams and topics of all callers may take; one caller's may take a sixteenth, `STORED_BYTES_EACH`."""

STORED_BYTES_EACH = 64 << 20

KEPT_TOPICS = 10_000
"""How many unwatched topics without events are kept: any subscriber can make one."""

logger = logging.getLogger("tidegate.stores")


class _Stream:
    """One stream as the store keeps it, and its charge."""

    __slots__ = ("charge", "claim", "epoch", "log", "record", "shares", "watchers")

    def __init__(self, record: StreamRecord, log: Log, epoch: str, claim: Claim | None, charge: Charge) -> None:
        self.record = record
        self.log: Log | KeptLog = log
        self.epoch = epoch
        self.claim = claim
        self.charge = charge
        self.shares: dict[bytes, Share] = {}
        self.watchers: dict[object, Callable[[], None]] = {}

    @property
    def status(self) -> Status:
        return status_of(self.record.end, running=self.record.running)

    @property
    def look(self) -> Look:
        return Look(self.record, self.log.cursor)

    @property
    def base(self) -> int:
        """The bytes the stream takes without its log."""
        return base_of(self.record, self.claim) + SHARE_BYTES * len(self.shares)

    def wake(self) -> None:
        wake_all(self.record.id, self.watchers)


class MemoryStore:
    """A `Store` without I/O: appends are answered at once. All calls belong on one event loop's thread.

    Several applications of the process may share it, each as a node of its own.
    """

    name = "memory"
    outlives_process = False
    fault = None

    def __init__(
        self,
        *,
        max_generation_bytes: int,
        max_stored_bytes: int = STORED_BYTES,
        max_stored_bytes_each: int = STORED_BYTES_EACH,
        topic_history: int = TOPIC_HISTORY,
        max_topics: int = KEPT_TOPICS,
        now: Callable[[], float] = time,
        clock: Callable[[], float] = monotonic,
        random_bits: Callable[[int], int] = randbits,
    ) -> None:
        self._max_bytes = max_generation_bytes
        self._now = now
        self._random_bits = random_bits
        self._streams: dict[str, _Stream] = {}
        self._claims: dict[str, tuple[Claim, str]] = {}
        self._shares: dict[bytes, Share] = {}
        self.ledger = Ledger(each=max_stored_bytes_each, total=max_stored_bytes, evict=self._evict)
        self._ended: dict[str, _Stream] = {}
        self._packing = Packing()
        self._owned: dict[str, dict[str, _Stream]] = {}
        self._topic_history = topic_history
        self._charges = TopicCharges(self.ledger)
        self._topics = TopicLogs(max_topics, max_stored_bytes or NO_LIMIT, _nothing, may_go=_is_empty)
        self._nodes = Nodes(self.look, clock=clock)

    async def open(self) -> Sequence[StreamRecord]:
        return ()

    def join(self, node: str, lease_seconds: float) -> LocalNode:
        return self._nodes.join(node, lease_seconds)

    async def create(
        self, record: StreamRecord, events: Sequence[Event], *, claim: Claim | None = None
    ) -> Fence | Claimed:
        if claim is not None and (earlier := await self.claimed(claim)) is not None:
            return earlier
        epoch = self._new_epoch()
        charge = Charge(self.ledger, record.owner, base_of(record, claim))
        log = Log(epoch, max_bytes=self._max_bytes, covered=BLOCK_BYTES, cover=charge.cover)
        log.append(events)
        self._streams[record.id] = held = _Stream(record, log, epoch, claim, charge)
        self._owned.setdefault(record.owner, {})[record.id] = held
        if claim is not None:
            self._claims[claim.key] = (claim, record.id)
        return Fence(record.id, epoch)

    async def claimed(self, claim: Claim) -> Claimed | None:
        made, stream = self._claims.get(claim.key, (claim, ""))
        check_body(claim, made.digest)
        return Claimed(stream) if stream else None

    async def acquire(self, stream: str, *, lease: bytes = b"") -> Fence:
        held = self._get(stream)
        epoch = self._new_epoch()
        held.log.begin_epoch(epoch)
        held.epoch = epoch
        held.record = msgspec.structs.replace(held.record, lease=lease or held.record.lease)
        return Fence(stream, epoch)

    def append(self, events: Sequence[Appendable], *, fence: Fence, expected: int) -> int:
        held = self._streams.get(fence.stream)
        if held is None or held.epoch != fence.epoch:
            held = self._fenced(fence)
        log = held.log
        if expected != log.tail:
            if events and log.holds(expected, events):
                return expected + len(events)
            raise OffsetMismatch(f"the stream's tail is {log.tail}, not {expected}", tail=log.tail)
        tail = log.append(events)
        if log.ended:
            end = log.end
            asked, at = asked_only(held.record.request), round(self._now(), 3)
            held.record = msgspec.structs.replace(held.record, request=asked, end=end, ended_at=at)
            held.charge.end(held.base, log.weight)
            self._ended[held.record.id] = held
            self._packing.add(self._pack(held))
        wake_all(fence.stream, held.watchers)
        return tail

    async def mark_running(self, fence: Fence) -> None:
        held = self._fenced(fence)
        held.record = msgspec.structs.replace(held.record, running=True)

    async def look(self, stream: str) -> Look:
        return self._get(stream).look

    async def tail(self, stream: str) -> Cursor:
        return self._log(stream).cursor

    async def position(self, stream: str, offset: int) -> Cursor:
        return self._log(stream).at(offset)

    def read(self, stream: str, after: Cursor | None, *, limit: int, max_bytes: int) -> Found:
        held = self._streams.get(stream)
        log = self._log(stream) if held is None else held.log
        return log.read(after, limit=limit, max_bytes=max_bytes)

    def watch(self, stream: str, wake: Callable[[], None]) -> Unwatch:
        if is_topic(stream):
            return self._topics.watch(self._topic(stream), wake)
        watchers = self._get(stream).watchers
        key = object()
        watchers[key] = wake
        return partial(watchers.pop, key, None)

    async def list(self, *, owner: str | None, status: Status | None, before: str | None, limit: int) -> Sequence[Look]:
        streams = self._streams if owner is None else self._owned.get(owner, {})
        newest_first = reversed(streams.values())
        if before is not None:
            self._get(before)
            for held in newest_first:
                if held.record.id == before:
                    break
        wanted = (held.look for held in newest_first if status in (None, held.status))
        return list(islice(wanted, limit))

    async def share(self, share: Share) -> None:
        held = self._get(share.stream)
        now = self._now()
        valid = {digest: other for digest, other in held.shares.items() if other.expires_at > now}
        check_room(len(valid))
        self._unshare(held)
        held.shares = {**valid, share.digest: share}
        self._shares |= held.shares
        held.charge.add(SHARE_BYTES * len(held.shares))

    async def shared(self, digest: bytes) -> Share | None:
        return self._shares.get(digest)

    async def unshare(self, stream: str) -> None:
        self._unshare(self._get(stream))

    async def forget(self, stream: str) -> None:
        self._drop(self._get(stream))

    async def open_topic(self, topic: str) -> Cursor:
        held = self._open_topic(topic)
        self._topics.use(held)
        return held.log.cursor

    def publish(self, topic: str, event: Published, *, claim: Claim | None = None) -> Cursor:
        held = self._open_topic(topic)
        if claim is not None and (earlier := held.claimed(claim)) is not None:
            return earlier
        log = held.log
        entry = Entry.of(log.epochs[-1][0], log.tail + 1, event)
        held.reserve(event.sender, weight_of(entry.size, claim))
        held.add(entry, event, claim, reserved=True)
        self._topics.use(held)
        held.wake()
        return entry.cursor

    async def topic(self, topic: str) -> TopicRecord:
        return self._topic(topic).record

    async def expire(self, before: float) -> int:
        # `_ended` is in the order of the streams' ends.
        expired = list(takewhile(lambda held: (held.record.ended_at or 0) < before, self._ended.values()))
        for held in expired:
            self._drop(held)
        unused = [held for held in self._topics if held.unused_since(before)]
        for topic in unused:
            self._drop_topic(topic)
        return len(expired) + sum(topic.published_at is not None for topic in unused)

    async def close(self) -> None:
        for held in tuple(self._streams.values()):
            self._drop(held)
        for topic in self._topics:
            self._drop_topic(topic)
        self._packing.clear()
        self._nodes.clear()

    def _get(self, stream: str) -> _Stream:
        held = self._streams.get(stream)
        if held is None:
            raise StreamNotFound(f"there is no stream {stream[:64]!r}")
        return held

    def _log(self, stream: str) -> Log | KeptLog:
        return self._topic(stream).log if is_topic(stream) else self._get(stream).log

    def _pack(self, held: _Stream) -> Steps[None]:
        """Replaces the log of a stream that has ended; its owner is charged less from then on."""
        log = held.log
        assert isinstance(log, Log), "a stream ends once"
        kept = yield from until(lambda: held.record.id not in self._ended, KeptLog.of(log))
        if kept is not None and kept.weight < log.weight:
            held.log = kept
            held.charge.end(held.base, kept.weight)
            yield from release(log)

    def _topic(self, topic: str) -> TopicLog:
        held = self._topics.get(topic)
        if held is None:
            raise no_topic(topic)
        return held

    def _open_topic(self, topic: str) -> TopicLog:
        if not is_topic(topic):
            raise no_topic(topic)
        held = self._topics.get(topic)
        if held is None:
            log = Log(self._new_epoch())
            held = TopicLog(topic, log, history=self._topic_history, opened_at=self._now(), charges=self._charges)
        return held

    def _evict(self, account: str, size: int) -> None:
        """Forgets ended streams, those with readers last; then topics that only this account has published to."""
        before = self.ledger.of(account)
        ended = [held for held in self._owned.get(account, {}).values() if held.record.end is not None]
        own = [*(held for held in ended if not held.watchers), *(held for held in ended if held.watchers)]
        streams = _count(self._drop(held) for held in own if before - self.ledger.of(account) < size)
        idle = (held for topic in self._charges.only_of(account) if (held := self._topics.get(topic)) and held.is_idle)
        topics = _count(self._drop_topic(held) for held in idle if before - self.ledger.of(account) < size)
        if streams or topics:
            logger.info("forgot %d streams and %d topics of %s before their time: %s", streams, topics, account, FULL)

    def _drop(self, held: _Stream) -> None:
        stream, owner = held.record.id, held.record.owner
        del self._streams[stream]
        self._ended.pop(stream, None)
        del self._owned[owner][stream]
        if not self._owned[owner]:
            del self._owned[owner]
        if held.claim is not None:
            del self._claims[held.claim.key]
        self._unshare(held)
        held.charge.give_back()
        if isinstance(held.log, Log) and held.log.tail > RELEASED:
            self._packing.add_first(release(held.log))
        held.wake()

    def _drop_topic(self, held: TopicLog) -> None:
        self._charges.drop(held.topic)
        self._topics.drop(held)

    def _unshare(self, held: _Stream) -> None:
        held.charge.add(-SHARE_BYTES * len(held.shares))
        for digest in held.shares:
            del self._shares[digest]
        held.shares = {}

    def _fenced(self, fence: Fence) -> _Stream:
        held = self._get(fence.stream)
        if held.epoch != fence.epoch:
            raise Fenced("another process fills this stream now")
        return held

    def _new_epoch(self) -> str:
        return new_epoch(self._random_bits(64))


def _is_empty(topic: TopicLog) -> bool:
    """Whether nothing was published to the topic; published events are bounded by their senders' accounts instead."""
    return topic.published_at is None


def _nothing(_: TopicLog) -> None:
    pass


def _count(done: Iterable[None]) -> int:
    return sum(1 for _ in done)


def _opened(_: str, options: Options) -> MemoryStore:
    return MemoryStore(
        max_generation_bytes=options.max_generation_bytes,
        max_stored_bytes=options.max_stored_bytes or STORED_BYTES,
        max_stored_bytes_each=options.max_stored_bytes_each or STORED_BYTES_EACH,
        topic_history=options.topic_history,
        now=options.now,
    )


TRAITS = Traits(problem=lambda url: None, open=_opened, place=lambda url: "memory", shared=False)
