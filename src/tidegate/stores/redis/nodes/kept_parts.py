"""The parts of counts that Redis keeps of each node, for those that come later or have missed a message."""

from __future__ import annotations

import msgspec

from tidegate.stores.cluster import Count
from tidegate.stores.parts import Parts
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.lane import FOR_EVER
from tidegate.stores.redis.link.shards import Shards

READ_AT_ONCE = 500
"""Fields that Redis reads in one step: a tenth of a millisecond in which it answers nobody else."""

field_of = msgspec.json.Encoder().encode
"""The field of a part, which is what is counted, key and member."""

_part_of = msgspec.json.Decoder(tuple[Count, str, str]).decode


class KeptParts(msgspec.Struct):
    """A node's parts as they were read, a page at a time: all that its messages up to `since` told, and of those up to
    `until` perhaps a half. Both are numbers of messages."""

    parts: Parts
    since: int
    until: int


async def kept_parts(shards: Shards, keys: Keys, node: str) -> KeptParts:
    """Reads a node's parts. Waits for as long as Redis is away."""
    key = keys.counts(node)
    since, parts, cursor = await _sequence(shards, key), Parts(), b""
    while cursor != b"0":
        scan = ("HSCAN", key, cursor or 0, "COUNT", READ_AT_ONCE)
        cursor, page = await shards.read(key, scan, within=FOR_EVER)
        for field, number in zip(page[::2], page[1::2], strict=True):
            _put(parts, field, int(number))
    return KeptParts(parts, since, await _sequence(shards, key))


async def _sequence(shards: Shards, key: str) -> int:
    return int(await shards.read(key, ("HGET", key, "sequence"), within=FOR_EVER) or 0)


def _put(parts: Parts, field: bytes, number: int) -> None:
    """Adds a field, unless it is no part or one that only a later version knows."""
    try:
        what, key, member = _part_of(field)
    except msgspec.DecodeError:
        return
    parts.put(what, key, member, number)
