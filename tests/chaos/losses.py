"""What a promoted replica may not have had: the only thing that nodes over Redis may lose, and not in silence.

Pure, and a part of the checker. When something was acknowledged is known by when a client was told.
"""

from __future__ import annotations

from collections.abc import Iterable

from .history import Created, History, Violation

ROUNDED_SECONDS = 0.001
"""Times in a history are exact to this."""

TOLD_SECONDS = 2.0
"""So long after its acknowledgement a client may be told: by a line that is held up, by a reader that comes back."""


class Losses:
    """By the failovers of a run."""

    def __init__(self, history: History) -> None:
        self._failovers = history.failovers
        there = {kept.stream for kept in history.logs if kept.events}
        self._streams = {
            created.stream for created in history.created if created.stream not in there and self.may_hit(created.at)
        }

    def may_hit(self, at: float) -> bool:
        """Whether what a client was told at this time may have been acknowledged to be lost."""
        return any(each.since - ROUNDED_SECONDS <= at <= each.until + TOLD_SECONDS for each in self._failovers)

    def kept(self, created: Iterable[Created]) -> list[Created]:
        """The creations that must not be lost, nor their keys."""
        return [each for each in created if not self.may_hit(each.at)]

    def excuses(self, violation: Violation) -> bool:
        """Whether it is about a stream that was lost as a whole."""
        return any(stream in violation.subject or stream in violation.what for stream in self._streams)
