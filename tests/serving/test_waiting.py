"""Bytes that wait in all connections together."""

from __future__ import annotations

import asyncio
import time

import pytest

from tidegate.observe.base import GAVE_WAY, CallRefused, LimitReached, Occurrence
from tidegate.observe.refusals import Refusals
from tidegate.serving.waiting import Waiting

pytestmark = pytest.mark.anyio


class Told:
    def __init__(self) -> None:
        self.occurrences: list[Occurrence] = []

    def observe(self, occurrence: Occurrence) -> None:
        self.occurrences.append(occurrence)


class Holding:
    def __init__(self, account: str, size: int, waiting: Waiting) -> None:
        self.account = account
        self.address = "192.0.2.7"
        self.gave_way = False
        waiting.hold(self, size)

    def give_way(self) -> None:
        self.gave_way = True


async def made_room(waiting: Waiting, *holding: tuple[str, int]) -> list[bool]:
    """Which of them had to give way."""
    held = [Holding(account, size, waiting) for account, size in holding]
    await asyncio.sleep(0)
    return [each.gave_way for each in held]


async def test_within_the_limit_nobody_gives_way() -> None:
    """What is given back counts no more."""
    waiting = Waiting(100)
    first = Holding("a", 60, waiting)
    waiting.hold(first, 10)
    assert await made_room(waiting, ("b", 90)) == [False]
    assert not first.gave_way
    assert waiting.total == 100


async def test_the_largest_of_whoever_holds_most_give_way() -> None:
    """Until an eighth is free; what others hold, and what is small, goes on."""
    assert await made_room(Waiting(100), ("a", 40), ("b", 30), ("a", 20), ("c", 11)) == [True, False, False, False]


async def test_many_small_ones_are_one_callers() -> None:
    """A caller that holds little in each of many connections is not spared for it; of equals the newest goes."""
    assert await made_room(Waiting(100), ("b", 40), *[("a", 10)] * 7) == [False, *[False] * 4, *[True] * 3]


async def test_it_is_told() -> None:
    """Who had to give way is in the log, with its address."""
    told = Told()
    waiting = Waiting(100, Refusals(told))
    await made_room(waiting, ("key:a", 101))
    assert told.occurrences == [LimitReached("max_buffered_bytes", "key:a", "192.0.2.7"), CallRefused(GAVE_WAY)]
    assert waiting.total == 0


async def test_room_is_made_soon_however_many_hold_something() -> None:
    """Ten thousand connections are gone through once, not once for each that gives way."""
    waiting = Waiting(100_000)
    began = time.thread_time()
    gave_way = await made_room(waiting, *[(f"key:{n % 100}", 11) for n in range(10_000)])
    assert time.thread_time() - began < 0.5
    assert waiting.total == 11 * gave_way.count(False) <= 100_000 - 100_000 // 8
