"""Long pieces of work on the loop, which share its turns: together they take no more of one than a few milliseconds."""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter
from typing import TypeVar
from weakref import WeakKeyDictionary

from tidegate.core.steps import Steps

T = TypeVar("T")

TURN_SECONDS = 0.005
"""For all of them together, in each turn of the loop; a step takes as much again at the most."""

WOKEN = 2
"""Of those that wait, in each turn. Each takes a step at the least: nobody is kept away by those who come later."""


async def in_turns(steps: Steps[T]) -> T:
    """What comes of the work, done a little at a time. What is small is done at once."""
    loop = asyncio.get_running_loop()
    if (turns := _turns.get(loop)) is None:
        turns = _turns[loop] = Turns(loop)
    return await turns.work(steps)


class Turns:
    """The turns of one loop. Who has used one up waits behind those that wait already."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._left = TURN_SECONDS
        self._is_planned = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def work(self, steps: Steps[T]) -> T:
        """See `in_turns`."""
        while True:
            if self._left <= 0:
                await self._turn()
            began = perf_counter()
            try:
                next(steps)
                while perf_counter() - began < self._left:
                    next(steps)
            except StopIteration as done:
                return done.value
            finally:
                self._left -= perf_counter() - began
                self._plan()

    async def _turn(self) -> None:
        turn: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(turn)
        await turn

    def _plan(self) -> None:
        if not self._is_planned:
            self._is_planned = True
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        """The loop has had a turn since."""
        self._is_planned = False
        self._left = TURN_SECONDS
        for _ in range(min(WOKEN, len(self._waiting))):
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
        if self._waiting:
            self._plan()


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()
