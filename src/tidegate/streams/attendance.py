"""What happens to a generation when its owner readers leave: its `on_disconnect`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

from tidegate.stores.cluster import Cluster, Excused


class Attendance:
    """Looks at how many owner readers one live generation has, on all nodes, where it is filled.

    It calls `abandoned` when they have been gone for longer than `grace` seconds: 0 acts when the last one leaves, None
    never. Nothing happens before the first one has come.
    """

    def __init__(self, cluster: Cluster, stream: str, grace: float | None, abandoned: Callable[[], None]) -> None:
        self._cluster = cluster
        self._stream = stream
        self._grace = grace
        self._abandoned = abandoned
        self._present = self._count()
        self._excused = False
        self._timer: asyncio.TimerHandle | None = None
        self._unwatch = None if grace is None else cluster.watch("owner readers", stream, self._changed)

    def expect(self) -> None:
        """Its owner readers were here and may come back: another process had them, and is gone."""
        if self._grace is not None and not self._present:
            self._arm(self._grace)

    def excuse(self) -> None:
        """That the last one leaves means nothing until another has come: a node that stops has sent it away."""
        self._excused = True
        self._disarm()

    def close(self) -> None:
        """The generation has ended: departures mean nothing any more."""
        self._disarm()
        self._grace = None
        # Whoever is to be told has this object: the two would keep each other, and the request, for long.
        self._abandoned = _nothing
        if self._unwatch is not None:
            self._unwatch()
            self._unwatch = None

    def _count(self) -> int:
        return self._cluster.total("owner readers", self._stream)

    def _changed(self) -> None:
        before, self._present = self._present, self._count()
        if self._present:
            self._disarm()
            self._excused = self._excused and self._present <= before
        elif before and self._grace is not None and not self._excused:
            self._arm(self._grace)

    def _arm(self, seconds: float) -> None:
        if seconds == 0:
            self._abandoned()
        else:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._abandoned)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class OwnerReader:
    """One of them, as `Stay` has it. `excuse` tells this node's own generation what `Excused` tells the other nodes."""

    def __init__(self, cluster: Cluster, stream: str, grace: float | None, excuse: Callable[[str], None]) -> None:
        self._cluster = cluster
        self._stream = stream
        self._grace = grace
        self._excuse = excuse

    def arrive(self) -> None:
        """It attaches."""
        self._cluster.add("owner readers", self._stream, 1)

    def leave(self, *, at_least: float = 0.0) -> None:
        """It detaches; who was asked to leave has so many seconds to come back, and then is gone like anybody else."""
        if at_least == inf:
            self._excuse(self._stream)
            self._cluster.tell(Excused(self._stream))
        longer = 0.0 if self._grace is None or at_least == inf else at_least - self._grace
        if longer > 0:
            asyncio.get_running_loop().call_later(longer, self._gone)
        else:
            self._gone()

    def _gone(self) -> None:
        self._cluster.add("owner readers", self._stream, -1)


def _nothing() -> None:
    pass
