"""Ends a generation when its owner readers have left, as its `on_disconnect` says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

from tidegate.stores.cluster import Cluster, Count

COUNT: Count = "owner readers"

EXCUSED = "excused"
"""The name under which owner readers are counted that left because their node stops; such a departure is ignored."""


class OnDisconnect:
    """Watches, at the node that fills one live generation, how many owner readers it has on all nodes.

    `abandoned` is called when no owner reader has been there for longer than `grace` seconds: with 0 when the last one
    leaves, with None never. It is not called before the first one has come, nor after the last one was excused.
    """

    __slots__ = ("_abandoned", "_cluster", "_excused", "_grace", "_marks", "_present", "_stream", "_timer")

    def __init__(self, cluster: Cluster, stream: str, grace: float | None, abandoned: Callable[[], None]) -> None:
        self._cluster = cluster
        self._stream = stream
        self._grace = grace
        self._abandoned = abandoned
        self._present, self._marks, self._excused = 0, 0, False
        self._timer: asyncio.TimerHandle | None = None
        if grace is not None:
            cluster.watch(COUNT, stream, self._changed)
        self._changed()

    def expect(self, *, at_least: float = 0.0) -> None:
        """Gives owner readers of a process that is gone their grace, but `at_least` so many seconds, to come back."""
        if self._grace is not None and not self._present and not self._excused:
            self._arm(max(self._grace, at_least))

    def close(self) -> None:
        """Ignores departures from now on, since the generation has ended."""
        self._disarm()
        self._grace = None
        # The callback's owner has this object: the cycle would keep both, and the request, in memory for long.
        self._abandoned = _nothing
        self._cluster.unwatch(COUNT, self._stream, self._changed)

    def _changed(self) -> None:
        counts = self._cluster.counts(COUNT, self._stream)
        before, self._present = self._present, counts.get("", 0)
        marked, self._marks = counts.get(EXCUSED, 0) > self._marks, counts.get(EXCUSED, 0)
        if self._present not in (0, before):
            # An excuse counts only for the departure that comes with it, and an owner reader is here.
            self._excused = False
        elif marked:
            self._excused = True
        if self._present:
            self._disarm()
        elif before and self._grace is not None and not self._excused:
            self._arm(self._grace)

    def _arm(self, seconds: float) -> None:
        self._disarm()
        if seconds == 0:
            self._abandoned()
        else:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._abandoned)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class OwnerReader:
    """Counts one owner reader while it is attached (`Stay`); `grace` is that of its stream."""

    __slots__ = ("_cluster", "_grace", "_stream")

    def __init__(self, cluster: Cluster, stream: str, grace: float | None) -> None:
        self._cluster = cluster
        self._stream = stream
        self._grace = grace

    def arrive(self) -> None:
        """Counts the reader, which has attached."""
        self._cluster.add(COUNT, self._stream, 1)

    def leave(self, *, at_least: float = 0.0) -> None:
        """Counts the reader, which has detached, no longer. One that was asked to leave has `at_least` so many seconds
        to come back, even if the grace is shorter (`inf`: its departure is excused)."""
        if at_least == inf:
            self._cluster.add(COUNT, self._stream, 1, EXCUSED)
        longer = 0.0 if self._grace is None or at_least == inf else at_least - self._grace
        if longer > 0:
            asyncio.get_running_loop().call_later(longer, self._gone)
        else:
            self._gone()

    def _gone(self) -> None:
        self._cluster.add(COUNT, self._stream, -1)


def _nothing() -> None:
    pass
