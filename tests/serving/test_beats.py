from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from eventually_kit import eventually

from tidegate.serving.beats import Beats

pytestmark = pytest.mark.anyio


class Heart:
    def __init__(self, beat: Callable[[], None] | None = None) -> None:
        self.beats = 0
        self._beat = beat

    def beat(self) -> None:
        self.beats += 1
        if self._beat is not None:
            self._beat()


def now() -> float:
    return asyncio.get_running_loop().time()


def fail() -> None:
    raise RuntimeError("a bug")


async def test_each_beats_once_when_it_is_due_whatever_the_order() -> None:
    """One that is due before all others does not wait for them."""
    beats, order = Beats(), list[int]()
    hearts = [Heart(lambda number=number: order.append(number)) for number in range(3)]
    began = now()
    for number in (1, 2, 0):
        beats.at(began + 0.1 * number, hearts[number])
    await eventually(lambda: len(order) == 3)
    assert order == [0, 1, 2]
    assert now() >= began + 0.2


async def test_what_is_taken_back_does_not_beat() -> None:
    """A heart of the same grain does, and taking back twice is harmless."""
    beats, taken, kept = Beats(), Heart(), Heart()
    due = now() + 0.05
    grain = beats.at(due, taken)
    beats.at(due, kept)
    beats.cancel(grain, taken)
    beats.cancel(grain, taken)
    await eventually(lambda: kept.beats)
    assert taken.beats == 0


async def test_a_heart_sets_its_next_beat_while_it_beats() -> None:
    """A heartbeat goes on so."""
    beats = Beats()

    def again() -> None:
        if heart.beats < 3:
            beats.at(now() + 0.01, heart)

    heart = Heart(again)
    beats.at(now(), heart)
    await eventually(lambda: heart.beats == 3)


async def test_a_heart_that_fails_keeps_none_from_beating() -> None:
    """The loop is told of it, and all others of its grain, and of later ones, beat."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    beats, others = Beats(), [Heart(), Heart()]
    due = now()
    beats.at(due, Heart(fail))
    beats.at(due, others[0])
    beats.at(due + 0.1, others[1])
    await eventually(lambda: all(each.beats for each in others))
    assert [str(context["exception"]) for context in told] == ["a bug"]
