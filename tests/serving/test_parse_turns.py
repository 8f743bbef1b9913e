"""Turns of the loop that are shared."""

from __future__ import annotations

import asyncio

import pytest

from tidegate.serving.parse_turns import ParseTurns

pytestmark = pytest.mark.anyio


async def test_everybody_has_a_piece_parsed_in_turn() -> None:
    """Who has much to be parsed does not keep those waiting who came later and have little."""
    parsed: list[str] = []
    turns, over = ParseTurns(), asyncio.Event()

    def work_of(name: str, pieces: int) -> None:
        left = iter(range(pieces - 1, -1, -1))

        def parse() -> bool:
            parsed.append(name)
            return next(left) > 0 or over.set() is not None

        turns.ask(parse)

    work_of("long", 4)
    work_of("short", 1)
    async with asyncio.timeout(5):
        while len(parsed) < 5:
            await over.wait()
            over.clear()
    assert parsed == ["long", "short", "long", "long", "long"]


async def test_the_loop_goes_on_between_pieces() -> None:
    """Whatever else is due has its turn when the time for parsing is up."""
    seen: list[str] = []
    turns, over = ParseTurns(seconds=0.0), asyncio.Event()

    def parse() -> bool:
        seen.append("parsed")
        if seen.count("parsed") == 3:
            over.set()
        return seen.count("parsed") < 3

    turns.ask(parse)
    asyncio.get_running_loop().call_soon(lambda: seen.append("other"))
    await asyncio.wait_for(over.wait(), 5)
    assert seen == ["parsed", "other", "parsed", "parsed"]


async def test_one_that_fails_stops_nobody_else() -> None:
    """A mistake of ours in one connection is not everybody's end."""
    turns, over = ParseTurns(), asyncio.Event()
    loop = asyncio.get_running_loop()
    caught: list[object] = []
    loop.set_exception_handler(lambda _, context: caught.append(context["exception"]))

    def fail() -> bool:
        raise RuntimeError("ours")

    def parse() -> bool:
        over.set()
        return False

    turns.ask(fail)
    turns.ask(parse)
    await asyncio.wait_for(over.wait(), 5)
    loop.set_exception_handler(None)
    assert [str(each) for each in caught] == ["ours"]
