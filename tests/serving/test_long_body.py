"""Long bodies, one at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tidegate.core.connection import ClientDisconnected
from tidegate.errors import Overloaded
from tidegate.serving.guest import LetGo
from tidegate.serving.long_body import LONG_BYTES, alone_if_long

pytestmark = pytest.mark.anyio

LONG = LONG_BYTES + 1


class Kept:
    """What a connection counts for."""

    def __init__(self) -> None:
        self.size = 0
        self.let_go: LetGo | None = None

    def keep(self, size: int, let_go: LetGo | None) -> None:
        self.size, self.let_go = size, let_go


class Bodies:
    """Those that are being read, and who has been read."""

    def __init__(self) -> None:
        self.under_way = 0
        self.most = 0
        self.read: list[str] = []

    async def add(self, account: str, size: int = LONG, kept: Kept | None = None) -> None:
        async with alone_if_long(size, account, most=size, keep=kept.keep if kept else None):
            self.under_way += 1
            self.most = max(self.most, self.under_way)
            await asyncio.sleep(0)
            self.under_way -= 1
            self.read.append(account)

    def start(self, account: str, size: int = LONG, kept: Kept | None = None) -> asyncio.Task[None]:
        return asyncio.ensure_future(self.add(account, size, kept))


async def started(*begin: Callable[[], asyncio.Task[None]]) -> list[asyncio.Task[None]]:
    tasks = [each() for each in begin]
    await asyncio.sleep(0)
    return tasks


async def test_one_at_a_time() -> None:
    """What a long body is made into is held once, however many have come."""
    bodies = Bodies()
    await asyncio.gather(*(bodies.add(f"key:{n}") for n in range(20)))
    assert (bodies.most, len(bodies.read)) == (1, 20)


async def test_what_is_short_waits_for_nobody() -> None:
    """A question is read while long ones are."""
    bodies = Bodies()
    await asyncio.gather(bodies.add("long"), bodies.add("short", LONG_BYTES))
    assert bodies.most == 2


async def test_accounts_go_round() -> None:
    """Who has sent one waits for one of each of the others, not for all of one that has sent fifty."""
    bodies = Bodies()
    await asyncio.gather(*(bodies.add("key:many") for _ in range(50)), bodies.add("key:one"))
    assert bodies.read.index("key:one") <= 2


async def test_what_waits_counts() -> None:
    """For its connection, until it is read."""
    bodies, kept = Bodies(), Kept()
    first, second = await started(lambda: bodies.start("a"), lambda: bodies.start("b", kept=kept))
    assert kept.size == LONG
    await asyncio.gather(first, second)
    assert (kept.size, kept.let_go) == (0, None)


@pytest.mark.parametrize("why", [Overloaded("no"), ClientDisconnected()])
async def test_what_waits_is_let_go_of(why: Exception) -> None:
    """Where room has to be made, or its client has left; the others go on."""
    bodies, kept = Bodies(), Kept()
    first, second, third = await started(
        lambda: bodies.start("a"), lambda: bodies.start("b", kept=kept), lambda: bodies.start("c")
    )
    assert kept.let_go is not None
    kept.let_go(why)
    with pytest.raises(type(why)):
        await second
    await asyncio.gather(first, third)
    assert bodies.read == ["a", "c"]


async def test_who_is_cancelled_as_its_turn_comes_hands_it_on() -> None:
    """Nobody waits for a turn that is lost."""
    bodies = Bodies()
    first, second, third = await started(*[lambda: bodies.start("a")] * 3)
    await first
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    await third
    assert len(bodies.read) == 2


async def test_who_has_given_up_and_is_cancelled_hands_nothing_on() -> None:
    """It was not its turn: the next one waits for whoever reads."""
    bodies, kept = Bodies(), Kept()
    first, second, third = await started(
        lambda: bodies.start("a"), lambda: bodies.start("b", kept=kept), lambda: bodies.start("c")
    )
    assert kept.let_go is not None
    kept.let_go(ClientDisconnected())
    second.cancel()
    await asyncio.gather(first, second, third, return_exceptions=True)
    assert (bodies.most, bodies.read) == (1, ["a", "c"])
