"""Long pieces of work on the loop, which share its turns: together they take no more of one than a few milliseconds.

They go round the accounts that they are done for. Who has had least is next, however many others one account has sent.
"""

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

MOST_KEPT = 4096
"""Accounts of which it is known what they have had while others waited. Those that are not ahead need not be known; if
there are very many others, all begin anew."""

WOKEN = 2
"""Of those that wait, in each turn. Each takes a step at the least: nobody is kept away by those who come later."""


async def in_turns(steps: Steps[T], account: str) -> T:
    """What comes of the work, done a little at a time for that account. What is small is done at once."""
    return await turns_here().work(steps, account)


def turns_here() -> Turns:
    """Those of the running loop."""
    loop = asyncio.get_running_loop()
    if (turns := _turns.get(loop)) is None:
        turns = _turns[loop] = Turns(loop)
    return turns


class Shares:
    """What each account has had, in seconds of the loop, while others wait (start-time fair queueing).

    Who comes new begins where those stand who are being served: it has not saved up what it did not use.
    """

    def __init__(self) -> None:
        self._had: dict[str, float] = {}
        self._served = 0.0

    def of(self, account: str) -> float:
        return max(self._had.get(account, 0.0), self._served)

    def is_ahead(self, account: str) -> bool:
        """Whether it has had more than those who are being served."""
        return self.of(account) > self._served

    def serve(self, account: str) -> None:
        """It is the one that has had least of those who wait."""
        self._served = self.of(account)

    def charge(self, account: str, seconds: float) -> None:
        self._had[account] = self.of(account) + seconds
        if len(self._had) > MOST_KEPT:
            ahead = {each: had for each, had in self._had.items() if had > self._served}
            self._had = ahead if len(ahead) <= MOST_KEPT // 2 else {}

    def clear(self) -> None:
        """Nobody waits: what was had is forgotten."""
        self._had.clear()
        self._served = 0.0


class Line:
    """Those who wait for the same thing, of each account in the order they came."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def join(self, account: str, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Is done when it is its turn."""
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(account, deque()).append(turn)
        return turn

    def call(self) -> bool:
        """Tells the next; false where nobody waits any more."""
        while self._waiting:
            account = min(self._waiting, key=self._shares.of)
            line = self._waiting.pop(account)
            turn = line.popleft()
            if line:
                # Behind the others that have had as much.
                self._waiting[account] = line
            if not turn.done():
                self._shares.serve(account)
                turn.set_result(None)
                return True
        return False


class Turns:
    """The turns of one loop. Who has used one up waits behind those that have had less."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._left = TURN_SECONDS
        self._is_planned = False
        self._shares = Shares()
        self._line = Line(self._shares)
        self._alone = Line(self._shares)
        self._is_taken = False

    async def work(self, steps: Steps[T], account: str) -> T:
        """See `in_turns`."""
        while True:
            if self._left_for(account) <= 0:
                await self._line.join(account, self._loop)
            left, began = self._left_for(account), perf_counter()
            try:
                next(steps)
                while perf_counter() - began < left:
                    next(steps)
            except StopIteration as done:
                return done.value
            finally:
                self._take(account, perf_counter() - began)

    def queue(self, account: str) -> asyncio.Future[None]:
        """A place in the line of those who work alone, for `come`; who has it fail gives it up."""
        turn = self._alone.join(account, self._loop)
        if not self._is_taken:
            self.leave()
        return turn

    async def come(self, turn: asyncio.Future[None]) -> None:
        """Returns when the others have to wait, until `leave`."""
        try:
            await turn
        except asyncio.CancelledError:
            # It may have been called, or have given up, in the same turn of the loop.
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()
            raise

    def leave(self) -> None:
        """Whoever worked alone is done: the next one may."""
        self._is_taken = self._alone.call()

    def _left_for(self, account: str) -> float:
        """Seconds of this turn. Once it is used up, those who have not had more than others have as much again."""
        if self._left > 0 or self._shares.is_ahead(account):
            return self._left
        return self._left + TURN_SECONDS

    def _take(self, account: str, seconds: float) -> None:
        self._left -= seconds
        self._shares.charge(account, seconds)
        if self._left > 0:
            self._line.call()
        self._plan()

    def _plan(self) -> None:
        if not self._is_planned:
            self._is_planned = True
            self._loop.call_soon(self._next)

    def _next(self) -> None:
        """The loop has had a turn since."""
        self._is_planned = False
        self._left = TURN_SECONDS
        for _ in range(WOKEN):
            self._line.call()
        if self._line:
            self._plan()
        elif not self._is_taken:
            self._shares.clear()


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()
