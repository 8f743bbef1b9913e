"""Who is subscribed to which topic."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from tidegate.core.notices import Presence
from tidegate.stores.cluster import Cluster

GATHER_SECONDS = 0.1
"""Comings and goings are told together: after a restart all of a room comes back at once, and each would be told of
each."""


class Roll:
    """The principals of one topic, on all nodes, and how many connections each has; `readers` are those of this node.

    `changed` is called with what is to be told, which is nothing where somebody came and went.
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
        """One more connection of a principal."""
        self.readers += 1
        self._cluster.add("present", self._topic, 1, principal)

    def leave(self, principal: str) -> None:
        """One less."""
        self.readers -= 1
        self._cluster.add("present", self._topic, -1, principal)

    def close(self) -> None:
        """Nobody is to be told any more."""
        self._cluster.unwatch("present", self._topic, self._gather)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _present(self) -> Iterable[str]:
        return self._cluster.counts("present", self._topic)

    def _gather(self) -> None:
        if self._timer is None and (not self.readers or self._told != frozenset(self._present())):
            self._timer = asyncio.get_running_loop().call_later(GATHER_SECONDS, self._tell)

    def _tell(self) -> None:
        self._timer = None
        present = frozenset(self._present())
        joined, left = present - self._told, self._told - present
        self._told = present
        self._changed(Presence(tuple(sorted(joined)), tuple(sorted(left))))


def present(cluster: Cluster, topic: str) -> Sequence[tuple[str, int]]:
    """Each principal of a topic with its connections, by name."""
    return sorted(cluster.counts("present", topic).items())


class Attender:
    """One connection's part in a roll, as `Stay` has it."""

    def __init__(self, roll: Roll, principal: str) -> None:
        self._roll = roll
        self._principal = principal

    def arrive(self) -> None:
        self._roll.arrive(self._principal)

    def leave(self, *, at_least: float = 0.0) -> None:
        """Whether it comes back or not, it is gone."""
        self._roll.leave(self._principal)
