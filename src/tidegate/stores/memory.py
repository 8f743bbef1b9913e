"""Logs in the memory of this process. What it holds is gone with the process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from secrets import randbits
from time import time

import msgspec

from tidegate.core.cursor import Cursor, new_epoch
from tidegate.core.events import TERMINAL_TYPES, Event, Published, encode
from tidegate.core.fold import Status, status_of
from tidegate.core.log import Entry, Log
from tidegate.core.topic import is_topic, topic_name
from tidegate.errors import Fenced, OffsetMismatch, StreamNotFound
from tidegate.stores.base import (
    TOPIC_HISTORY,
    Claim,
    Claimed,
    Fence,
    Found,
    Share,
    StreamRecord,
    TopicRecord,
    Unwatch,
    asked_only,
    check_body,
    check_room,
)
from tidegate.stores.held_topics import HeldTopic, HeldTopics, no_topic
from tidegate.stores.watchers import wake_all

STREAM_BYTES = 2048
"""What a stream takes besides its events and its metadata."""

KEPT_BYTES = 128 * 1024 * 1024
"""What ended streams may hold, as JSON; some 4 million tokens, which take 700 MB of memory. Past it the oldest go.

Topics may hold as much again.
"""

KEPT_TOPICS = 10_000
"""Any subscriber can make one; those that are watched do not go, and have readers that are counted elsewhere."""

logger = logging.getLogger("tidegate.stores")


class _Stream:
    """One stream as the store keeps it."""

    def __init__(self, record: StreamRecord, log: Log, epoch: str, claim: Claim | None) -> None:
        self.record = record
        self.log = log
        self.epoch = epoch
        self.claim = claim
        self.shares: dict[bytes, Share] = {}
        self.watchers: dict[object, Callable[[], None]] = {}

    @property
    def size(self) -> int:
        """Bytes, as JSON; final once the stream has ended."""
        question = self.record.request.question_json if self.record.request is not None else None
        kept = len(msgspec.json.encode(self.record.metadata)) + len(question or b"")
        return STREAM_BYTES + self.log.size + kept

    def wake(self) -> None:
        wake_all(self.record.id, self.watchers)


class MemoryStore:
    """A `Store` without I/O: appends are answered at once. All calls belong on one event loop's thread."""

    durable = False

    def __init__(
        self,
        *,
        max_generation_bytes: int,
        max_kept_bytes: int = KEPT_BYTES,
        topic_history: int = TOPIC_HISTORY,
        max_topics: int = KEPT_TOPICS,
        now: Callable[[], float] = time,
        random_bits: Callable[[int], int] = randbits,
    ) -> None:
        self._max_bytes = max_generation_bytes
        self._now = now
        self._random_bits = random_bits
        self._streams: dict[str, _Stream] = {}
        self._claims: dict[str, tuple[Claim, str]] = {}
        self._shares: dict[bytes, Share] = {}
        self._max_kept_bytes = max_kept_bytes
        self._kept_bytes = 0
        self._ended: dict[str, None] = {}
        self._topic_history = topic_history
        self._topics = HeldTopics(max_topics, max_kept_bytes, _crowded_out)

    async def open(self) -> Sequence[StreamRecord]:
        return ()

    async def create(
        self, record: StreamRecord, events: Sequence[Event], *, claim: Claim | None = None
    ) -> Fence | Claimed:
        if claim is not None and (earlier := await self.claimed(claim)) is not None:
            return earlier
        epoch = self._new_epoch()
        log = Log(epoch, max_bytes=self._max_bytes)
        log.append(events)
        self._streams[record.id] = _Stream(record, log, epoch, claim)
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

    def append(self, events: Sequence[Event], *, fence: Fence, expected: int) -> int:
        held = self._fenced(fence)
        log = held.log
        if expected != (tail := log.tail):
            if log.holds(expected, events):
                return expected + len(events)
            raise OffsetMismatch(f"the stream's tail is {tail}, not {expected}", tail=tail)
        tail = log.append(events)
        if events and isinstance(end := events[-1], TERMINAL_TYPES):
            asked, at = asked_only(held.record.request), round(self._now(), 3)
            held.record = msgspec.structs.replace(held.record, request=asked, end=end, ended_at=at)
            self._keep(held)
        held.wake()
        return tail

    async def mark_running(self, fence: Fence) -> None:
        held = self._fenced(fence)
        held.record = msgspec.structs.replace(held.record, running=True)

    async def get(self, stream: str) -> StreamRecord:
        return self._get(stream).record

    async def tail(self, stream: str) -> Cursor:
        return self._log(stream).cursor

    def read(self, stream: str, after: Cursor | None, *, limit: int, max_bytes: int) -> Found:
        return self._log(stream).read(after, limit=limit, max_bytes=max_bytes)

    def watch(self, stream: str, wake: Callable[[], None]) -> Unwatch:
        if is_topic(stream):
            return self._topics.watch(self._topic(stream), wake)
        watchers = self._get(stream).watchers
        key = object()
        watchers[key] = wake
        return partial(watchers.pop, key, None)

    async def list(
        self, *, owner: str | None, status: Status | None, before: str | None, limit: int
    ) -> Sequence[StreamRecord]:
        newest_first = (held.record for held in reversed(self._streams.values()))
        if before is not None:
            self._get(before)
            for record in newest_first:
                if record.id == before:
                    break
        wanted = (
            record
            for record in newest_first
            if owner in (None, record.owner) and status in (None, status_of(record.end, running=record.running))
        )
        return list(islice(wanted, limit))

    async def share(self, share: Share) -> None:
        held = self._get(share.stream)
        now = self._now()
        valid = {digest: other for digest, other in held.shares.items() if other.expires_at > now}
        check_room(len(valid))
        self._unshare(held)
        held.shares = {**valid, share.digest: share}
        self._shares |= held.shares

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
        entry = Entry(log.epochs[-1][0], log.tail + 1, event, len(encode(event)))
        held.add(entry, event, claim)
        self._topics.use(held)
        held.wake()
        return entry.cursor

    async def topic(self, topic: str) -> TopicRecord:
        return self._topic(topic).record

    async def expire(self, before: float) -> int:
        expired = [held for held in self._ended_streams() if (held.record.ended_at or 0) < before]
        for held in expired:
            self._drop(held)
        unused = [held for held in self._topics if held.unused_since(before)]
        for topic in unused:
            self._topics.drop(topic)
        return len(expired) + sum(topic.published_at is not None for topic in unused)

    async def close(self) -> None:
        for held in tuple(self._streams.values()):
            self._drop(held)
        for topic in self._topics:
            self._topics.drop(topic)

    def _get(self, stream: str) -> _Stream:
        try:
            return self._streams[stream]
        except KeyError:
            raise StreamNotFound(f"there is no stream {stream[:64]!r}") from None

    def _log(self, stream: str) -> Log:
        return self._topic(stream).log if is_topic(stream) else self._get(stream).log

    def _topic(self, topic: str) -> HeldTopic:
        held = self._topics.get(topic)
        if held is None:
            raise no_topic(topic)
        return held

    def _open_topic(self, topic: str) -> HeldTopic:
        if not is_topic(topic):
            raise no_topic(topic)
        held = self._topics.get(topic)
        if held is None:
            log = Log(self._new_epoch())
            held = HeldTopic(topic, log, history=self._topic_history, opened_at=self._now())
        return held

    def _ended_streams(self) -> list[_Stream]:
        return [self._streams[stream] for stream in self._ended]

    def _keep(self, ended: _Stream) -> None:
        """Makes room for a stream that has just ended, at the cost of those that ended first."""
        self._ended[ended.record.id] = None
        self._kept_bytes += ended.size
        while self._kept_bytes > self._max_kept_bytes and len(self._ended) > 1:
            unread = (stream for stream in self._ended_streams()[:-1] if not stream.watchers)
            oldest = next(unread, self._streams[next(iter(self._ended))])
            logger.info("forgot stream %s before its time: ended streams are too many to keep", oldest.record.id)
            self._drop(oldest)

    def _drop(self, held: _Stream) -> None:
        stream = held.record.id
        del self._streams[stream]
        if stream in self._ended:
            del self._ended[stream]
            self._kept_bytes -= held.size
        if held.claim is not None:
            del self._claims[held.claim.key]
        self._unshare(held)
        held.wake()

    def _unshare(self, held: _Stream) -> None:
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


def _crowded_out(topic: HeldTopic) -> None:
    if topic.published_at is not None:
        logger.info("forgot topic %s before its time: topics are too many to keep", topic_name(topic.topic))
