"""Requests that have come before the one in front of them was answered."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

MOST_WAITING = 4
"""For so many a connection is read on. One that is not read does not see its client leave."""

WAITING_BYTES = 65536
"""Of their heads and bodies: nothing more is parsed before fewer wait. With what one read brings, 256 KB, and with the
answer that is not read, that is what a connection may make the process keep."""


class Pipeline(list[Any]):
    """uvicorn's pairs of cycle and application, the next one last; a deque is larger than all else of a connection."""

    def appendleft(self, item: Any) -> None:
        self.insert(0, item)

    @property
    def is_full(self) -> bool:
        """Whether no further request is to be parsed."""
        return len(self) >= MOST_WAITING or self.is_heavy

    @property
    def is_heavy(self) -> bool:
        """Whether nothing is to be parsed at all, be it the body of the last of them."""
        return len(self) > 0 and sum(_size(cycle) for cycle, _ in self) >= WAITING_BYTES


def _size(cycle: RequestResponseCycle) -> int:
    return len(cycle.body) + sum(len(name) + len(value) for name, value in cycle.scope["headers"])
