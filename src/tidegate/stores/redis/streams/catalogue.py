"""The records of streams: one by one, and by their owners and their age."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tidegate.core.cursor import Cursor
from tidegate.core.events import decode
from tidegate.core.fold import Status, status_of
from tidegate.core.log import epoch_at
from tidegate.errors import StreamNotFound
from tidegate.stores.records import Look, StreamRecord
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.reading import Epochs, epochs_of
from tidegate.stores.redis.script import Script

FORGET = Script("forget")

FIELDS = ("record", "running", "lease", "end", "ended_at", "epochs", "tail")

AT_ONCE = 100
"""Records that are read together, for a list or a sweep: a millisecond of Redis."""

MICROSECONDS = 1_000_000


class Catalogue:
    """The records. `brief` is how many seconds a caller waits for Redis; indexes last `keep_ms` without a change."""

    def __init__(self, shards: Shards, keys: Keys, *, brief: float, keep_ms: int, now: Callable[[], float]) -> None:
        self._shards = shards
        self._keys = keys
        self._brief = brief
        self._keep_ms = keep_ms
        self._now = now
        self._last = 0

    def enter(self, stream: str, owner: str) -> None:
        """Enters a stream that is about to be created, after all earlier ones of this node."""
        self._last = max(self._last + 1, int(self._now() * MICROSECONDS))
        for index in (self._keys.all, self._keys.streams_of(owner)):
            self._shards.tell(index, ("ZADD", index, self._last, stream))
            self._shards.tell(index, ("PEXPIRE", index, self._keep_ms))

    def end(self, stream: str, ended_ms: int) -> None:
        """Enters when a stream has ended."""
        self._shards.tell(self._keys.ended, ("ZADD", self._keys.ended, ended_ms, stream))
        self._shards.tell(self._keys.ended, ("PEXPIRE", self._keys.ended, self._keep_ms))

    def remove(self, stream: str, owner: str) -> None:
        """Removes a stream that is no longer kept."""
        for index in (self._keys.all, self._keys.ended, self._keys.streams_of(owner)):
            self._shards.tell(index, ("ZREM", index, stream))

    async def exists(self, stream: str) -> bool:
        key = self._keys.record(stream)
        return bool(await self._shards.ask(key, ("EXISTS", key), within=self._brief))

    async def look(self, stream: str) -> Look:
        """See `Catalogue.look`."""
        found = look_of(await self._fields(stream, *FIELDS))
        if found is None:
            raise not_found(stream)
        return found

    async def positions(self, stream: str) -> tuple[Epochs, int]:
        """The stream's epochs and its tail. Raises `StreamNotFound`."""
        epochs, tail = await self._fields(stream, "epochs", "tail")
        if epochs is None:
            raise not_found(stream)
        return epochs_of(epochs), int(tail)

    async def list(self, *, owner: str | None, status: Status | None, before: str | None, limit: int) -> Sequence[Look]:
        """See `Catalogue.list`."""
        index = self._keys.all if owner is None else self._keys.streams_of(owner)
        below = "+inf"
        if before is not None:
            below = await self._shards.read(index, ("ZSCORE", index, before), within=self._brief)
            if below is None:
                raise not_found(before)
            below = f"({below.decode()}"
        looks: list[Look] = []
        while len(looks) < limit:
            command = ("ZREVRANGEBYSCORE", index, below, "-inf", "WITHSCORES", "LIMIT", 0, AT_ONCE)
            found = await self._shards.read(index, command, within=self._brief)
            some = await self._looks([stream.decode() for stream in found[::2]])
            looks += [each for each in some if each is not None and status in (None, _status(each.record))]
            if len(found) < 2 * AT_ONCE:
                break
            below = f"({found[-1].decode()}"
        return looks[:limit]

    async def ended_before(self, before: float) -> Sequence[str]:
        """Some of the streams that ended before this time, in Unix seconds."""
        command = ("ZRANGEBYSCORE", self._keys.ended, "-inf", f"({int(before * 1000)}", "LIMIT", 0, AT_ONCE)
        return [each.decode() for each in await self._shards.ask(self._keys.ended, command, within=self._brief)]

    async def forget(self, stream: str) -> tuple[StreamRecord, str]:
        """Drops the stream; its record, and its claim. Raises `StreamNotFound`."""
        key = self._keys.record(stream)
        found, claim = await self._shards.ask(key, ("HMGET", key, "record", "claim"), within=self._brief)
        if found is None:
            raise not_found(stream)
        keys = (key, self._keys.log(stream), self._keys.shares(stream))
        command = FORGET(keys, self._shards.publish, self._keys.news_of(stream))
        for own in map(self._keys.share, await self._shards.ask(key, command, within=self._brief)):
            self._shards.tell(own, ("DEL", own))
        record = msgspec.json.decode(found, type=StreamRecord)
        self.remove(stream, record.owner)
        return record, claim.decode()

    async def _fields(self, stream: str, *fields: str) -> Sequence[Any]:
        key = self._keys.record(stream)
        return await self._shards.read(key, ("HMGET", key, *fields), within=self._brief)

    async def _looks(self, streams: Sequence[str]) -> Sequence[Look | None]:
        keys = [self._keys.record(stream) for stream in streams]
        asked = [self._shards.read(key, ("HMGET", key, *FIELDS), within=self._brief) for key in keys]
        return [look_of(await each) for each in asked]


def look_of(fields: Sequence[Any]) -> Look | None:
    """The record and the tail, from the record's `FIELDS`; None where there is no such record."""
    kept, running, lease, end, ended_at, epochs, tail = fields
    if kept is None:
        return None
    record = msgspec.structs.replace(
        msgspec.json.decode(kept, type=StreamRecord),
        running=running == b"1",
        lease=lease,
        end=None if end is None else decode(end),
        ended_at=None if end is None else int(ended_at) / 1000,
    )
    return Look(record, Cursor(epoch_at(epochs_of(epochs), int(tail)), int(tail)))


def _status(record: StreamRecord) -> Status:
    return status_of(record.end, running=record.running)


def not_found(stream: str) -> StreamNotFound:
    return StreamNotFound(f"there is no stream {stream[:64]!r}")
