"""The presence of topics: which principals are subscribed to which topic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from tidegate.core.notices import Presence
from tidegate.stores.cluster import Cluster

GATHER_SECONDS = 0.1
"""How long arrivals and departures are gathered into one notice: after a restart all subscribers come back at once, and
each would be notified of each."""


class Roll:
    """The principals of one topic, on all nodes, and their connections; `readers` is how many this node has.

    `changed` is called with the notice to send, which is empty where somebody came and left again.
    """

    def __init__(self, cluster: Cluster, topic: str, changed: Callable[[Presence], None]) -> None:
        self._cluster = cluster
        self._topic = topic
        self._changed = changed
        self._told = frozenset(self._present())
        self._timer: asyncio.TimerHandle | None = None
        cluster.watch("present", topic, self._gather)
        self.readers = 0

    def arrive(self, principal: str) -> None:
        """Counts one more connection of a principal."""
        self.readers += 1
        self._cluster.add("present", self._topic, 1, principal)

    def leave(self, principal: str) -> None:
        """Counts one connection of a principal less."""
        self.readers -= 1
        self._cluster.add("present", self._topic, -1, principal)

    def close(self) -> None:
        """Stops notifying."""
        self._cluster.unwatch("present", self._topic, self._gather)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _present(self) -> Iterable[str]:
        return self._cluster.counts("present", self._topic)

    def _gather(self) -> None:
        # Who is there is looked at once for all that is gathered: it takes as long as the topic has principals.
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._tell)

    def _tell(self) -> None:
        self._timer = None
        present = frozenset(self._present())
        joined, left = present - self._told, self._told - present
        self._told = present
        self._changed(Presence(tuple(sorted(joined)), tuple(sorted(left))))


def present(cluster: Cluster, topic: str) -> Sequence[tuple[str, int]]:
    """Each principal of a topic with its number of connections, sorted by name."""
    return sorted(cluster.counts("present", topic).items())


class Attender:
    """Counts one connection in a roll while it is attached (`Stay`)."""

    def __init__(self, roll: Roll, principal: str) -> None:
        self._roll = roll
        self._principal = principal

    def arrive(self) -> None:
        self._roll.arrive(self._principal)

    def leave(self, *, at_least: float = 0.0) -> None:
        """Counts the connection no longer, at once: presence has no time to return."""
        self._roll.leave(self._principal)
