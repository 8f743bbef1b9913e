"""Telling of refused callers."""

from __future__ import annotations

from tidegate.observe.base import LimitReached, Occurrence
from tidegate.observe.refusals import MOST_KEPT, QUIET_SECONDS, Refusals


class Observing:
    def __init__(self) -> None:
        self.now = 0.0
        self.told: list[Occurrence] = []
        self.refusals = Refusals(self, clock=lambda: self.now)

    def observe(self, occurrence: Occurrence) -> None:
        self.told.append(occurrence)


def test_a_flood_is_one_line_in_a_while() -> None:
    """The first is told at once, the others as a number; each account and limit by itself."""
    seen = Observing()
    for _ in range(1000):
        seen.refusals.tell("connections", "address:a", "a")
    seen.refusals.tell("connections", "address:b", "b")
    seen.now = QUIET_SECONDS
    seen.refusals.tell("connections", "address:a", "a")
    assert seen.told == [
        LimitReached("connections", "address:a", "a", 1),
        LimitReached("connections", "address:b", "b", 1),
        LimitReached("connections", "address:a", "a", 1000),
    ]


def test_what_is_remembered_is_bounded() -> None:
    """A caller with any number of addresses fills no memory."""
    seen = Observing()
    for n in range(3 * MOST_KEPT):
        seen.refusals.tell("connections", f"address:{n}")
        seen.refusals.tell("connections", f"address:{n}")
    assert len(seen.refusals._told) <= MOST_KEPT
    assert len(seen.refusals._untold) <= MOST_KEPT
