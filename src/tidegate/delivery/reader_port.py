"""What a delivery needs of a reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, Self

from tidegate.core.log import Entry
from tidegate.core.notices import Notice


class ReaderPort(Protocol):
    """One attachment to the stream of that id.

    `left` is true once the reader is closed, `at_end` after the terminal event, `more` while the log may hold more than
    was taken, `mergeable` where the events taken last may be merged.
    """

    stream: str
    left: bool
    at_end: bool
    more: bool
    mergeable: bool

    def on_news(self, wake: Callable[[], None]) -> None:
        """Sets the callback for when there may be something to take."""
        ...

    def take(self, now: float) -> Sequence[Entry] | Notice | None:
        """Takes the events, or a notice, that can be sent now; None if there are none before news, or `deadline`."""
        ...

    def fall_behind(self) -> None:
        """Notes that there may be news which its client cannot be sent now. The events taken next are mergeable."""
        ...

    def deadline(self) -> float:
        """When events that are held back are due, in the loop's time."""
        ...

    def twin(self) -> Self:
        """Another reader at the same position, which does not count as an attachment."""
        ...

    def go_along(self, lead: Self) -> bool:
        """Follows `lead`: what `lead` takes counts as taken here. False where it has to read on by itself first."""
        ...

    def part(self) -> None:
        """Stops following, at the position of the lead, and gets its own news again."""
        ...

    async def next(self, silence: float) -> Sequence[Entry] | Notice | None:
        """Waits for the next events or notice; None after `silence` seconds without any, or once it is closed."""
        ...

    def close(self) -> None:
        """Detaches; harmless when repeated."""
        ...
