from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest
import uvloop

from tests.eventually_kit import eventually
from tidegate.core.steps import Steps
from tidegate.stores.packing import Packing

pytestmark = pytest.mark.anyio


def work(steps: int, done: list[int]) -> Steps[None]:
    for step in range(steps):
        done.append(step)
        yield


def named(name: str, done: list[str]) -> Steps[None]:
    for _ in range(2):
        done.append(name)
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


async def test_what_is_freed_goes_first() -> None:
    """Work under way waits while memory is given back that counts on nobody any more, and then goes on."""
    done: list[str] = []
    packing = Packing()
    packing.add(named("packed", done))
    await asyncio.sleep(0)
    assert done == ["packed"]
    packing.add(named("packed later", done))
    packing.add_first(named("freed", done))
    await eventually(lambda: len(done) == 6)
    assert done == ["packed", "freed", "freed", "packed", "packed later", "packed later"]


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_work_that_its_loop_has_left_is_done_on_the_next(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Whoever shares a store among several `asyncio.run` has what ended in one of them packed in the next."""
    packing = Packing()
    left: list[int] = []
    done: list[int] = []

    async def end() -> None:
        packing.add(work(100, left))

    async def go_on() -> None:
        packing.add(work(1, done))
        await eventually(lambda: done)

    for what in (end, go_on):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(what())
    assert (left, done) == ([*range(100)], [0])


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
