"""A node's own parts of counts: what changes in one turn of the loop is told in one message."""

from __future__ import annotations

from tidegate.stores.cluster import Count
from tidegate.stores.parts import Parts
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.lane import FOR_EVER
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.nodes.kept_parts import field_of, kept_parts
from tidegate.stores.redis.nodes.lease import Lease
from tidegate.stores.redis.nodes.messages import Counted, encode
from tidegate.stores.redis.nodes.soon import Soon
from tidegate.stores.redis.script import Script

PARTS_AT_ONCE = 500
"""Parts in one message, or few more: half a millisecond in which Redis answers nobody else."""

TELL_COUNTS = Script("tell_counts")


class OwnParts:
    """The parts of `node`. Between `join` and `leave` others are told; while Redis is away only what they are in the
    end waits for it."""

    def __init__(self, shards: Shards, keys: Keys, node: str, lease: Lease) -> None:
        self.parts = Parts()
        self._shards = shards
        self._keys = keys
        self._node = node
        self._lease = lease
        self._sequence = 0
        self._has_joined = False
        self._changed: dict[tuple[Count, str], set[str]] = {}
        self._tell = Soon(self._tell_changes)
        self.tell_again = Soon(self._compare)

    def add(self, what: Count, key: str, change: int, member: str) -> None:
        """Adds to one part."""
        self.parts.put(what, key, member, self.parts.number(what, key, member) + change)
        if self._has_joined:
            self._changed.setdefault((what, key), set()).add(member)
            self._tell()

    def join(self) -> None:
        """From now on others are told; what they do not know by then, with the next `tell_again`."""
        self._has_joined = True

    def leave(self) -> None:
        """The parts disappear for others, but stay here."""
        self._has_joined = False
        self._changed.clear()
        self._tell.stop()
        self.tell_again.stop()

    async def _compare(self) -> None:
        """Tells what Redis does not have, e.g. after it has lost something, or this node was taken for dead."""
        kept = await kept_parts(self._shards, self._keys, self._node)
        for what, key, member, _ in (*kept.parts, *self.parts):
            if kept.parts.number(what, key, member) != self.parts.number(what, key, member):
                self._changed.setdefault((what, key), set()).add(member)
        if self._changed:
            self._tell()
        elif kept.until != self._sequence:
            await self._tell_some([])

    async def _tell_changes(self) -> None:
        while self._changed:
            await self._tell_some(self._some_changes())

    def _some_changes(self) -> list[tuple[Count, str, str, int]]:
        """The next changes. All that is new of one count is together: some of it excuses the rest."""
        some: list[tuple[Count, str, str, int]] = []
        while self._changed and len(some) < PARTS_AT_ONCE:
            what, key = next(iter(self._changed))
            members = self._changed.pop((what, key))
            some.extend((what, key, member, self.parts.number(what, key, member)) for member in members)
        return some

    async def _tell_some(self, some: list[tuple[Count, str, str, int]]) -> None:
        self._sequence += 1
        message = encode(Counted(self._node, self._sequence, some))
        fields = [argument for *part, number in some for argument in (field_of(part), number)]
        command = TELL_COUNTS(
            (self._keys.counts(self._node),),
            *(self._shards.publish, self._keys.news, self._lease.counts_milliseconds, message, self._sequence),
            *fields,
        )
        await self._shards.ask(self._keys.living, command, within=FOR_EVER)
