"""The streams that this node fills: it creates and acquires them, and appends to them."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from tidegate.core.cursor import new_epoch
from tidegate.core.events import ENDS, Appendable, Event, json_of
from tidegate.errors import (
    Fenced,
    OffsetMismatch,
    StorageFull,
    StoreUnavailable,
    StreamEnded,
    StreamNotFound,
    TidegateError,
    TooLong,
)
from tidegate.stores.ledger import BLOCK_BYTES
from tidegate.stores.records import Fence, StreamRecord, asked_only
from tidegate.stores.redis.accounts import Accounts
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.reading import epochs_of
from tidegate.stores.redis.script import Script
from tidegate.stores.redis.streams.recent_ends import RecentEnds
from tidegate.stores.redis.streams.served import ServedStream, ServedStreams
from tidegate.stores.redis.window import Window

APPEND = Script("append")
CREATE = Script("create")
ACQUIRE = Script("acquire")
RUN = Script("run")


class Filled:
    """One stream that this node fills under `fence`: what it is charged for, and the appends that wait for room."""

    __slots__ = ("base", "charging", "claim", "covered", "fence", "record", "served", "size", "waiting")

    def __init__(
        self, fence: Fence, record: StreamRecord, served: ServedStream, *, base: int, size: int, claim: str
    ) -> None:
        self.fence = fence
        self.record = record
        self.served = served
        self.base = base
        self.size = size
        self.claim = claim
        self.covered = size + BLOCK_BYTES
        self.charging = False
        self.waiting: deque[Append] = deque()


class Append(msgspec.Struct):
    """One append: the JSON of its events after the offset `expected`; `size` is without the terminal event."""

    fence: Fence
    expected: int
    events: Sequence[bytes]
    size: int
    ends: bool
    answer: Future[int]
    sent: int = 0


class Filling:
    """Fills streams. `ended` is called with each stream that has ended here, and the time of its end in milliseconds.

    An append waits `patience` seconds for Redis; other calls wait for `brief` seconds. Redis keeps a live stream
    `live_ms` milliseconds after its last event, and one that has ended `ended_ms`.
    """

    def __init__(
        self,
        shards: Shards,
        keys: Keys,
        served: ServedStreams,
        accounts: Accounts,
        *,
        max_bytes: int,
        patience: float,
        brief: float,
        live_ms: int,
        ended_ms: int,
        now_ms: Callable[[], int],
        random_bits: Callable[[int], int],
        ended: Callable[[StreamRecord, str, int], None],
        lost: Callable[[str], None],
    ) -> None:
        self._shards = shards
        self._keys = keys
        self._served = served
        self._accounts = accounts
        self._max_bytes = max_bytes
        self._patience = patience
        self._brief = brief
        self._live_ms = live_ms
        self._ended_ms = ended_ms
        self._now_ms = now_ms
        self._random_bits = random_bits
        self._on_end = ended
        self._on_loss = lost
        self._filled: dict[str, Filled] = {}
        self._charging: set[asyncio.Task[None]] = set()
        self._recent = RecentEnds[tuple[Append, Filled]](shards, lambda: asyncio.get_running_loop().time())
        shards.health.on_back(self._came_back)

    async def create(self, record: StreamRecord, events: Sequence[Event], base: int, claim: str) -> Fence:
        """Creates the stream, whose account is charged already. Raises `StoreUnavailable`: then nobody knows whether
        there is such a stream."""
        fence = Fence(record.id, self._new_epoch())
        encoded = [json_of(event) for event in events]
        size = sum(map(len, encoded))
        keys = (self._keys.record(record.id), self._keys.log(record.id))
        kept = msgspec.json.encode(record)
        command = CREATE(
            keys,
            fence.epoch,
            kept,
            b"\n".join(encoded),
            len(encoded),
            size,
            int(record.running) or "",
            claim,
            record.lease,
            self._live_ms,
        )
        await self._shards.ask(keys[0], command, within=self._brief)
        window = Window([(fence.epoch, 0)], 0)
        window.add(fence.epoch, 0, encoded)
        served = self._served.fill(record.id, window)
        self._filled[record.id] = Filled(fence, record, served, base=base, size=size, claim=claim)
        return fence

    async def acquire(self, stream: str, lease: bytes, base_of: Callable[[StreamRecord, str], int]) -> Fence:
        """See `Catalogue.acquire`."""
        fence = Fence(stream, self._new_epoch())
        command = ACQUIRE((self._keys.record(stream),), fence.epoch, lease)
        outcome, *found = await self._shards.ask(self._keys.record(stream), command, within=self._brief)
        if outcome != b"ok":
            raise _refusal(outcome, stream)
        kept, epochs, tail, size, claim = found
        record = msgspec.json.decode(kept, type=StreamRecord)
        served = self._served.get(stream)
        window = served.window if served is not None else None
        if window is None or not (window.tail == int(tail) and window.is_before(epochs_of(epochs), int(tail))):
            window = Window(epochs_of(epochs), int(tail))
        window.begin_epoch(fence.epoch)
        served = self._served.fill(stream, window)
        base = base_of(record, claim.decode())
        self._filled[stream] = Filled(fence, record, served, base=base, size=int(size), claim=claim.decode())
        served.wake()
        return fence

    async def mark_running(self, fence: Fence) -> None:
        """See `Catalogue.mark_running`."""
        command = RUN((self._keys.record(fence.stream),), fence.epoch)
        outcome = await self._shards.ask(self._keys.record(fence.stream), command, within=self._patience)
        if outcome != b"ok":
            raise _refusal(outcome, fence.stream)

    def append(self, events: Sequence[Appendable], *, fence: Fence, expected: int) -> Future[int]:
        """See `Log.append`."""
        encoded = [json_of(event) for event in events]
        size = sum(map(len, encoded))
        ends = bool(encoded) and encoded[-1].startswith(ENDS)
        if ends:
            size -= len(encoded[-1])
        append = Append(fence, expected, encoded, size, ends, asyncio.get_running_loop().create_future())
        filled = self._filled.get(fence.stream)
        if filled is not None and filled.fence.epoch == fence.epoch:
            if filled.charging:
                filled.waiting.append(append)
            elif size and filled.size + size > filled.covered:
                self._charge(filled, append)
            else:
                self._send(append, filled)
        else:
            self._send(append, None)
        return append.answer

    def lose(self, stream: str) -> None:
        """Notes that another node fills the stream from now on, or may."""
        if self._filled.pop(stream, None) is not None:
            self._served.unfill(stream)

    def clear(self) -> None:
        """Forgets everything, since the store is closed."""
        for task in self._charging:
            task.cancel()
        self._filled.clear()
        self._recent.clear()

    # Charges

    def _charge(self, filled: Filled, append: Append) -> None:
        filled.charging = True
        task = asyncio.get_running_loop().create_task(self._charge_and_send(filled, append))
        self._charging.add(task)
        task.add_done_callback(self._charging.discard)

    async def _charge_and_send(self, filled: Filled, append: Append) -> None:
        size = filled.size + append.size
        record = filled.record
        try:
            await self._accounts.charge(
                record.owner, record.id, filled.base + size + BLOCK_BYTES, within=self._patience
            )
            filled.covered = size + BLOCK_BYTES
            self._send(append, filled)
        except (StorageFull, StoreUnavailable) as error:
            if not append.answer.done():
                append.answer.set_exception(error)
        finally:
            filled.charging = False
            waiting, filled.waiting = filled.waiting, deque()
            for each in waiting:
                # They may need more room, too, and wait again then.
                self._resume(filled, each)

    def _resume(self, filled: Filled, append: Append) -> None:
        if filled.charging:
            filled.waiting.append(append)
        elif append.size and filled.size + append.size > filled.covered:
            self._charge(filled, append)
        else:
            self._send(append, filled)

    # Redis

    def _send(self, append: Append, filled: Filled | None) -> None:
        stream = append.fence.stream
        keys = (self._keys.record(stream), self._keys.log(stream), self._keys.shares(stream))
        command = APPEND(
            keys,
            append.fence.epoch,
            append.expected,
            len(append.events),
            append.size,
            b"\n".join(append.events),
            self._max_bytes,
            self._shards.publish,
            self._keys.news_of(stream),
            *(self._end(append, filled) if append.ends else (self._live_ms,)),
        )
        asked = self._shards.ask(keys[0], command, within=self._patience)
        asked.add_done_callback(partial(self._answered, append, filled))

    def _end(self, append: Append, filled: Filled | None) -> tuple[int, bytes, int, bytes]:
        append.sent = self._now_ms()
        kept = b""
        if filled is not None:
            record = msgspec.structs.replace(filled.record, request=asked_only(filled.record.request))
            kept = msgspec.json.encode(record)
        return self._ended_ms, append.events[-1], append.sent, kept

    def _answered(self, append: Append, filled: Filled | None, done: Future[Any]) -> None:
        if append.answer.done() and filled is None:
            return
        try:
            outcome, *found = done.result()
        except StoreUnavailable as error:
            _fail(append, error)
            return
        if outcome == b"ok":
            self._appended(append, filled, found[0])
        elif outcome == b"mismatch" and self._repair(append, filled, found[0]):
            return
        else:
            if outcome == b"fenced":
                self._lose_fence(append.fence)
            _fail(append, _refusal(outcome, append.fence.stream, *found))

    def _appended(self, append: Append, filled: Filled | None, tail: int) -> None:
        if filled is not None and (window := filled.served.window) is not None:
            if tail > window.tail:
                filled.size += append.size
                window.add(append.fence.epoch, append.expected, append.events)
            filled.served.wake()
            if append.ends and self._filled.get(append.fence.stream) is filled:
                del self._filled[append.fence.stream]
                self._note_end(append, filled)
                self._served.unfill(append.fence.stream)
        if not append.answer.done():
            append.answer.set_result(tail)

    def _note_end(self, append: Append, filled: Filled) -> None:
        stream = append.fence.stream
        self._on_end(filled.record, filled.claim, append.sent)
        self._accounts.end(filled.record.owner, stream, filled.base + filled.size, append.sent)
        self._recent.add(self._keys.record(stream), (append, filled))

    def _came_back(self) -> None:
        """Finds out what a Redis that can be used again may have lost: nobody else would.

        The newest ends are written again. A stream that is filled here is told to Redis without any event: that brings
        back what is missing of it, or shows that it is gone, also where its model says nothing for long.
        """
        for filled in tuple(self._filled.values()):
            self._check(filled)
        for append, filled in self._recent.doubtful():
            again = msgspec.structs.replace(append, answer=asyncio.get_running_loop().create_future())
            again.answer.add_done_callback(partial(self._given_back, again, filled))
            self._send(again, filled)

    def _check(self, filled: Filled) -> None:
        window = filled.served.window
        if window is not None:
            check = Append(
                filled.fence, window.tail, (), 0, ends=False, answer=asyncio.get_running_loop().create_future()
            )
            check.answer.add_done_callback(partial(self._checked, filled))
            self._send(check, filled)

    def _checked(self, filled: Filled, answer: Future[int]) -> None:
        if not answer.cancelled() and isinstance(answer.exception(), StreamNotFound | Fenced):
            self._on_loss(filled.fence.stream)

    def _given_back(self, append: Append, filled: Filled, answer: Future[int]) -> None:
        if answer.cancelled():
            return
        if answer.exception() is None:
            self._note_end(append, filled)
        elif isinstance(answer.exception(), Fenced):
            # Another node fills the stream, or Redis has lost that this one had taken it over: then nobody does.
            self._on_loss(filled.fence.stream)

    def _repair(self, append: Append, filled: Filled | None, tail: int) -> bool:
        """Appends again what Redis has lost, e.g. in a failover, if this node still has it; whether it does so.

        The fence is the same, so nobody else has appended meanwhile: the log becomes what its readers have seen.
        """
        window = filled.served.window if filled is not None else None
        if filled is None or window is None or not tail < append.expected <= window.tail:
            return False
        if (kept := window.since(tail)) is None:
            return False
        lost = kept[: append.expected - tail]
        again = sum(map(len, lost))
        # Redis has lost what these took, too, and counts it again.
        filled.size -= again
        events = [*lost, *append.events]
        self._send(msgspec.structs.replace(append, expected=tail, events=events, size=append.size + again), filled)
        return True

    def _lose_fence(self, fence: Fence) -> None:
        filled = self._filled.get(fence.stream)
        if filled is not None and filled.fence.epoch == fence.epoch:
            self.lose(fence.stream)

    def _new_epoch(self) -> str:
        return new_epoch(self._random_bits(64))


def _fail(append: Append, error: TidegateError) -> None:
    if not append.answer.done():
        append.answer.set_exception(error)


def _refusal(outcome: bytes, stream: str, tail: int = 0) -> TidegateError:
    """The error for what a script answers in place of `ok`."""
    match outcome:
        case b"missing":
            return StreamNotFound(f"there is no stream {stream[:64]!r}")
        case b"fenced":
            return Fenced("another process fills this stream now")
        case b"ended":
            return StreamEnded("the stream has ended")
        case b"mismatch":
            return OffsetMismatch(f"the stream's tail is {tail}, not what was expected", tail=tail)
        case _:
            return TooLong("the generation is longer than `limits.max_generation_bytes`")
