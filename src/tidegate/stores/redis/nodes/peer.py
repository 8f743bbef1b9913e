"""Another node's parts of counts, as its messages tell them. Where one was missed, all parts are read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tidegate.stores.cluster import Count
from tidegate.stores.parts import Parts
from tidegate.stores.redis.nodes.kept_parts import KeptParts
from tidegate.stores.redis.nodes.messages import Counted
from tidegate.stores.redis.nodes.soon import Soon

EARLY = 1000
"""Messages that are kept while a node's parts are read, which takes some milliseconds. Past it they are read again."""


class Peer:
    """One other node. `read` reads its parts; `changed` is called with each count that has changed, `known` when all
    have been read."""

    def __init__(
        self,
        read: Callable[[], Awaitable[KeptParts]],
        changed: Callable[[Count, str], None],
        known: Callable[[], None],
    ) -> None:
        self.parts = Parts()
        self._read = read
        self._changed = changed
        self._known = known
        self._sequence: int | None = None
        self._is_reading = False
        self._kept: KeptParts | None = None
        self._early: list[Counted] = []
        self._reading = Soon(self._read_all)

    @property
    def is_known(self) -> bool:
        """Whether the parts have been read once."""
        return self._sequence is not None

    def read(self) -> None:
        """Reads all parts soon, since messages may have been missed."""
        self._is_reading = True
        self._reading()

    def stop(self) -> None:
        """Reads no more, since the node is gone."""
        self._reading.stop()

    def hear(self, news: Counted) -> None:
        """Takes the next message; one that was repeated is ignored."""
        if self._is_reading:
            if len(self._early) >= EARLY:
                self._early.clear()
            self._early.append(news)
            self._finish()
        elif self._sequence is None or news.sequence > self._sequence + 1:
            self._early = [news]
            self.read()
        elif news.sequence == self._sequence + 1:
            self._sequence = news.sequence
            for what, key in self._put(news):
                self._changed(what, key)

    async def _read_all(self) -> None:
        self._is_reading, self._kept = True, None
        self._kept = await self._read()
        self._finish()

    def _finish(self) -> None:
        """Takes what was read as soon as it is whole: what a message told together must not be seen in halves."""
        kept, early = self._kept, self._early
        if kept is None or max(kept.since, early[-1].sequence if early else 0) < kept.until:
            return
        self._is_reading, self._kept, self._early = False, None, []
        # Redis may have lost what this node has heard; then the other one tells it again.
        if self._sequence is None or kept.since >= self._sequence:
            self._replace(kept, early)
        for news in early:
            self.hear(news)
        self._known()

    def _replace(self, kept: KeptParts, early: list[Counted]) -> None:
        before, self.parts, self._sequence = self.parts, kept.parts, kept.since
        for news in early:
            if news.sequence == self._sequence + 1:
                self._sequence = news.sequence
                self._put(news)
        for what, key in {*before.counted(), *self.parts.counted()}:
            if before.of(what, key) != self.parts.of(what, key):
                self._changed(what, key)

    def _put(self, news: Counted) -> list[tuple[Count, str]]:
        """Takes the parts, and returns the counts that have changed."""
        counts: dict[tuple[Count, str], None] = {}
        for what, key, member, number in news.parts:
            if self.parts.number(what, key, member) != number:
                self.parts.put(what, key, member, number)
                counts[what, key] = None
        return list(counts)
