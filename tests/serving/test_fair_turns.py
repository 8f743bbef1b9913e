from __future__ import annotations

import asyncio
import time

import pytest

from tidegate.core.steps import Pace, Steps, finished, slices
from tidegate.serving.fair_turns import MOST_KEPT, TURN_SECONDS, WOKEN, Shares, Turns, in_turns

pytestmark = pytest.mark.anyio


def work(steps: int, seconds: float = 0.0) -> Steps[str]:
    for _ in range(steps):
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass
        yield
    return "done"


class Clock:
    """A time that passes by work alone, however slow the machine is."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, steps: int, seconds: float = 0.0) -> Steps[str]:
        for _ in range(steps):
            self.now += seconds
            yield
        return "done"


def broken() -> Steps[str]:
    yield
    raise ValueError("no")


async def turns_of(work: asyncio.Future[object]) -> int:
    turns = 0
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
    return turns


async def test_what_is_small_is_done_at_once() -> None:
    """It waits for no turn of the loop."""
    assert finished(work(3)) == "done"
    clock = Clock()
    working = Turns(asyncio.get_running_loop(), clock).work(clock.work(3), "a")
    with pytest.raises(StopIteration) as done:
        working.send(None)
    assert done.value.value == "done"


async def test_what_goes_wrong_is_told() -> None:
    """As if it had been done at once."""
    with pytest.raises(ValueError, match="no"):
        await in_turns(broken(), "a")


async def test_many_share_a_turn() -> None:
    """Fifty pieces of work take as many turns as one after the other, not fifty times as long ones."""
    longest = 0.0
    together = asyncio.gather(*(in_turns(work(4, TURN_SECONDS), "a") for _ in range(20)))
    while not together.done():
        before = time.thread_time()
        await asyncio.sleep(0)
        longest = max(longest, time.thread_time() - before)
    assert await together == ["done"] * 20
    assert longest < 2 * (WOKEN + 2) * TURN_SECONDS


async def test_who_waits_is_not_kept_away_by_those_who_have_left() -> None:
    """A client that is gone while it waits for its turn leaves the turn to the next."""
    long = [asyncio.ensure_future(in_turns(work(4, TURN_SECONDS), "a")) for _ in range(10)]
    await asyncio.sleep(0)
    for one in long[:-1]:
        one.cancel()
    assert await long[-1] == "done"


async def test_accounts_go_round() -> None:
    """Whoever comes with little work is not kept waiting by all the work of another."""
    done: list[str] = []

    async def working(account: str, steps: int) -> None:
        await in_turns(work(steps, TURN_SECONDS), account)
        done.append(account)

    await asyncio.gather(*(working("key:many", 4) for _ in range(10)), working("key:one", 4))
    assert done[0] == "key:one"


async def test_what_is_little_is_done_at_once_though_the_turn_is_used_up() -> None:
    """By whoever has used none of it."""
    clock = Clock()
    turns = Turns(asyncio.get_running_loop(), clock)
    long = asyncio.ensure_future(turns.work(clock.work(9, TURN_SECONDS), "key:many"))
    await asyncio.sleep(0)
    with pytest.raises(StopIteration):
        turns.work(clock.work(1), "key:one").send(None)
    assert await long == "done"


async def test_who_comes_new_has_not_saved_up() -> None:
    """It has had as little as those who are being served, and no more turns than they from then on."""
    shares = Shares()
    shares.charge("old", 5.0)
    shares.serve("old")
    assert shares.of("new") == shares.of("old")
    shares.charge("new", 1.0)
    assert shares.is_ahead("new")
    assert not shares.is_ahead("old")


def test_accounts_are_not_kept_for_ever() -> None:
    """Whoever has many addresses makes nobody remember all of them."""
    shares = Shares()
    for n in range(3 * MOST_KEPT):
        shares.charge(f"address:{n}", 0.1)
    assert len(shares._had) <= MOST_KEPT


def test_each_loop_has_its_turns() -> None:
    """An application may be served by loops of several threads."""
    assert [asyncio.run(in_turns(work(3, TURN_SECONDS), "a")) for _ in range(2)] == ["done"] * 2


async def test_the_turns_of_a_loop_are_given_back() -> None:
    """However much work there was, what comes later is done at once again."""
    clock = Clock()
    turns = Turns(asyncio.get_running_loop(), clock)
    assert await turns.work(clock.work(3, TURN_SECONDS), "a") == "done"
    await asyncio.sleep(0)
    with pytest.raises(StopIteration):
        turns.work(clock.work(1), "a").send(None)


def test_slices_and_paces() -> None:
    """Nothing is lost at the edges, and many small parts make a step as one long part does."""
    assert b"".join(slices(b"abcde", 2)) == b"abcde"
    assert list(slices(b"", 2)) == [b""]
    pace = Pace()
    assert sum(pace.is_over(0) for _ in range(1000)) == 3
    assert pace.is_over(10**6)
