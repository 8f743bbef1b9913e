"""Pipelined requests: those that came before the request in front of them was answered."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

MOST_WAITING = 4
"""A connection is read until so many wait. While it is not read, the departure of its client goes unnoticed."""

WAITING_BYTES = 65536
"""The size of waiting heads and bodies at which parsing stops. With one read, of up to 256 KB, and the answer that is
not read, that is what a connection can make the process hold."""


class Pipeline(list[Any]):
    """uvicorn's pairs of cycle and application, the next one last. A deque would outweigh the rest of a connection."""

    def appendleft(self, item: Any) -> None:
        self.insert(0, item)

    @property
    def is_full(self) -> bool:
        """Whether no further request is to be parsed."""
        return len(self) >= MOST_WAITING or self.is_heavy

    @property
    def is_heavy(self) -> bool:
        """Whether nothing more is to be parsed, not even the body of the last request."""
        return len(self) > 0 and sum(_size(cycle) for cycle, _ in self) >= WAITING_BYTES


def _size(cycle: RequestResponseCycle) -> int:
    return len(cycle.body) + sum(len(name) + len(value) for name, value in cycle.scope["headers"])
