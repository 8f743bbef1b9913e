"""What a transport needs of a reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, Self

from tidegate.core.log import Entry
from tidegate.core.notices import Notice


class ReaderPort(Protocol):
    """One attachment to one stream.

    `left` is true once it is closed, `at_end` after the terminal event, `more` while the log may hold more than was
    taken, `mergeable` where what was taken last may be merged. A transport sets `behind` when its client does not keep
    up: what is taken next is mergeable.
    """

    left: bool
    at_end: bool
    more: bool
    behind: bool
    mergeable: bool

    def on_news(self, wake: Callable[[], None]) -> None:
        """Has this called whenever there may be something to take."""
        ...

    def take(self, now: float) -> Sequence[Entry] | Notice | None:
        """What can be sent at once; None until there is news, or `deadline`."""
        ...

    def deadline(self) -> float:
        """When what is held back is due, in the loop's time."""
        ...

    def twin(self) -> Self:
        """Another one at the same position, which is nobody's attachment."""
        ...

    def follow(self, lead: Self) -> bool:
        """Goes along with another: what that one takes counts as taken here. False where they do not stand alike."""
        ...

    def part(self) -> None:
        """Stands where the other does, and has its own news again."""
        ...

    async def next(self, silence: float) -> Sequence[Entry] | Notice | None:
        """What comes next; None after so many seconds of silence, or when the reader was closed."""
        ...

    def close(self) -> None:
        """Detaches; harmless when repeated."""
        ...
