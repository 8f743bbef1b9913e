from __future__ import annotations

import pytest

from tidegate.observe.base import Failure, Occurrence, StoreCall
from tidegate.observe.tee import Tee

FAILURE = Failure("http", ValueError("x"))
CALL = StoreCall("memory", "append", None, 0.5)


class Keeps:
    """Keeps what it is told; of the store's calls, too."""

    def __init__(self) -> None:
        self.seen: list[Occurrence] = []

    def observe(self, occurrence: Occurrence) -> None:
        self.seen.append(occurrence)

    def observe_store(self, call: StoreCall) -> None:
        self.seen.append(call)  # type: ignore[arg-type]


class Deaf:
    """Wants to hear nothing of the store."""

    def observe(self, occurrence: Occurrence) -> None:
        pass


class Broken:
    def observe(self, occurrence: Occurrence) -> None:
        raise RuntimeError("broken")

    def observe_store(self, call: StoreCall) -> None:
        raise RuntimeError("broken")


def test_all_observers_are_told() -> None:
    """Each gets the occurrence itself."""
    first, second = Keeps(), Keeps()
    Tee([first, second]).observe(FAILURE)
    assert first.seen == second.seen == [FAILURE]


def test_an_observer_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """Neither the others nor whoever tells; its operator finds it in the log."""
    kept = Keeps()
    tee = Tee([Broken(), kept])
    tee.observe(FAILURE)
    tee.observe_store(CALL)
    assert kept.seen == [FAILURE, CALL]
    assert [record.getMessage() for record in caplog.records] == [
        "Broken has failed to observe",
        "Broken has failed to observe a store",
    ]


def test_only_who_asks_for_it_is_told_of_stores() -> None:
    """Where nobody does, nothing needs to be measured."""
    kept = Keeps()
    tee = Tee([Deaf(), kept])
    tee.observe_store(CALL)
    assert kept.seen == [CALL]
    assert tee.observes_stores
    assert not Tee([Deaf()]).observes_stores
