from __future__ import annotations

import asyncio
import logging

import pytest

from tests.eventually_kit import eventually
from tidegate.core.steps import Steps
from tidegate.stores.packing import Packing

pytestmark = pytest.mark.anyio


def work(steps: int, done: list[int]) -> Steps[None]:
    for step in range(steps):
        done.append(step)
        yield


async def test_each_step_has_a_turn_of_its_own() -> None:
    """However many streams end at once, what the loop has to do otherwise waits for one step at a time."""
    done: list[int] = []
    packing = Packing()
    for _ in range(3):
        packing.add(work(2, done))
    for turn in range(1, 4):
        assert len(done) < turn
        await asyncio.sleep(0)
    await eventually(lambda: done == [0, 1] * 3)


async def test_a_log_that_cannot_be_packed_keeps_no_other_from_it(caplog: pytest.LogCaptureFixture) -> None:
    """The failure is logged, and the work goes on with the next log."""

    def failing() -> Steps[None]:
        yield
        raise ValueError("damaged")

    done: list[int] = []
    packing = Packing()
    packing.add(failing())
    packing.add(work(1, done))
    with caplog.at_level(logging.ERROR):
        await eventually(lambda: done)
    assert "could not be packed" in caplog.text


async def test_what_is_cleared_is_not_done() -> None:
    """After a store is closed nothing of it is worked on; what is added later is."""
    done: list[int] = []
    packing = Packing()
    packing.add(work(5, done))
    packing.clear()
    later: list[int] = []
    packing.add(work(1, later))
    await eventually(lambda: later)
    assert not done
