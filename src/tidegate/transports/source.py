"""What a transport needs of a reader."""

from __future__ import annotations

from asyncio import Event
from collections.abc import Sequence
from typing import Protocol

from tidegate.core.log import Entry
from tidegate.core.notices import Gap, Reconnect


class Source(Protocol):
    """One attachment to one stream. `left` is set once it is closed, `at_end` after the terminal event."""

    left: Event
    at_end: bool

    async def next(self, silence: float) -> Sequence[Entry] | Gap | Reconnect | None:
        """What comes next; None after so many seconds of silence, or when the reader was closed."""
        ...

    def close(self) -> None:
        """Detaches; harmless when repeated."""
        ...
