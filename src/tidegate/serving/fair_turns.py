"""Long work on the event loop, in steps: all of it together takes a few milliseconds of each turn of the loop.

Accounts take turns. The one that has had the least time is next, however much work another account has sent.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import TypeVar
from weakref import WeakKeyDictionary

from tidegate.core.steps import Steps

T = TypeVar("T")

TURN_SECONDS = 0.005
"""For all work together, in each turn of the loop; one step takes at most as much again."""

MOST_KEPT = 4096
"""Accounts whose share is remembered while others wait. Only those ahead of the others need to be; if even those are
too many, all begin anew."""

WOKEN = 2
"""How many that wait are woken in each turn. Each takes at least one step, so later work cannot starve earlier work."""


async def in_turns(steps: Steps[T], account: str) -> T:
    """Does the work a few steps at a time, charged to the account; returns its result. Small work is done at once."""
    return await turns_here().work(steps, account)


def turns_here() -> Turns:
    """The `Turns` of the running loop."""
    loop = asyncio.get_running_loop()
    if (turns := _turns.get(loop)) is None:
        turns = _turns[loop] = Turns(loop)
    return turns


class Shares:
    """The seconds of the loop that each account has had while others wait (start-time fair queueing).

    A new account begins level with the one being served: time that an account did not use is not saved up for it.
    """

    def __init__(self) -> None:
        self._had: dict[str, float] = {}
        self._served = 0.0

    def of(self, account: str) -> float:
        return max(self._had.get(account, 0.0), self._served)

    def is_ahead(self, account: str) -> bool:
        """Whether the account has had more than the one being served."""
        return self.of(account) > self._served

    def serve(self, account: str) -> None:
        """Makes the account, which has had the least of those that wait, the one being served."""
        self._served = self.of(account)

    def charge(self, account: str, seconds: float) -> None:
        self._had[account] = self.of(account) + seconds
        if len(self._had) > MOST_KEPT:
            ahead = {each: had for each, had in self._had.items() if had > self._served}
            self._had = ahead if len(ahead) <= MOST_KEPT // 2 else {}

    def clear(self) -> None:
        """Nobody waits: forgets all shares."""
        self._had.clear()
        self._served = 0.0


class Line:
    """A queue in which accounts take turns; within an account it is first come, first served."""

    def __init__(self, shares: Shares) -> None:
        self._shares = shares
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def join(self, account: str, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Queues for the account. The future that is returned is done when its turn has come."""
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(account, deque()).append(turn)
        return turn

    def call(self) -> bool:
        """Gives the next in the queue its turn; false where nobody waits."""
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
    """The turns of one loop. Work that has used up its turn waits behind accounts that have had less.

    `clock` is in seconds of any origin.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Callable[[], float] = perf_counter) -> None:
        self._loop = loop
        self._clock = clock
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
            left, began = self._left_for(account), self._clock()
            try:
                next(steps)
                while self._clock() - began < left:
                    next(steps)
            except StopIteration as done:
                return done.value
            finally:
                self._take(account, self._clock() - began)

    def queue(self, account: str) -> asyncio.Future[None]:
        """Queues for work that excludes other such work. `come` awaits the future; setting an exception gives it up."""
        turn = self._alone.join(account, self._loop)
        if not self._is_taken:
            self.leave()
        return turn

    async def come(self, turn: asyncio.Future[None]) -> None:
        """Returns when the turn has come. It lasts until `leave`; other such work waits meanwhile."""
        try:
            await turn
        except asyncio.CancelledError:
            # The turn may have come, or been given up, in the same turn of the loop as the cancellation.
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.leave()
            raise

    def leave(self) -> None:
        """Ends the exclusive turn, and gives it to the next that waits."""
        self._is_taken = self._alone.call()

    def _left_for(self, account: str) -> float:
        """Seconds left of this turn. Once it is used up, accounts that are not ahead of others have as much again."""
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
        """A new turn of the loop has begun."""
        self._is_planned = False
        self._left = TURN_SECONDS
        for _ in range(WOKEN):
            self._line.call()
        if self._line:
            self._plan()
        elif not self._is_taken:
            self._shares.clear()


_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, Turns] = WeakKeyDictionary()
