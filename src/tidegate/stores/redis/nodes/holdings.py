"""What a node holds, and how Redis learns of it: in the order in which it was said, and, where Redis was away, the last
word about each stream alone."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from tidegate.errors import StoreUnavailable
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.lane import FOR_EVER
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.nodes.lease import Lease
from tidegate.stores.redis.nodes.messages import Lost
from tidegate.stores.redis.nodes.soon import Soon
from tidegate.stores.redis.script import Command, Script

CHECKED_AT_ONCE = 500
"""Streams that one script compares: half a millisecond in which Redis answers nobody else."""

HOLD, LET_GO, ABANDON = Script("hold"), Script("let_go"), Script("abandon")

CLAIM_ORPHANS, CHECK_HELD = Script("claim_orphans"), Script("check_held")


class Holdings:
    """The streams of one node by the number of their hold: each hold has another one, so that the news that one is over
    is not taken for the end of the next. `released` is told of each stream that the node holds no longer."""

    def __init__(self, shards: Shards, keys: Keys, node: str, lease: Lease, released: Callable[[str], object]) -> None:
        self._shards = shards
        self._keys = keys
        self._node = node
        self._lease = lease
        self._released = released
        self._numbers: dict[str, int] = {}
        self._number = 0
        self._lost: dict[str, None] = {}
        self._claiming: set[str] = set()
        self._late: dict[str, Command] = {}
        # Streams in `_late` that Redis has never been told of.
        self._unheard: set[str] = set()
        self._say_late = Soon(self._say_what_waits)
        self._unanswered: set[Future[Any]] = set()

    def __contains__(self, stream: str) -> bool:
        return stream in self._numbers

    def hold(self, stream: str) -> None:
        """Notes that the node fills the stream."""
        is_new = stream not in self._numbers and stream not in self._late
        self._own(stream, self._next_number())
        self._say(stream, self._held(stream))
        if is_new and stream in self._late:
            self._unheard.add(stream)

    def let_go(self, stream: str) -> None:
        """Notes that the node fills the stream no longer. Harmless where it does not."""
        if self._numbers.pop(stream, None) is None:
            return
        self._released(stream)
        if stream in self._unheard:
            self._unheard.discard(stream)
            del self._late[stream]
            return
        self._say(stream, LET_GO((self._keys.held, self._keys.held_by(self._node)), stream, self._node))

    def abandon(self, stream: str, *, handed_over: bool = False) -> None:
        """Makes the stream an orphan, unless another node holds it."""
        self._numbers.pop(stream, None)
        self._released(stream)
        self._unheard.discard(stream)
        keys = (self._keys.held, self._keys.held_by(self._node), self._keys.orphans)
        self._say(stream, ABANDON(keys, *self._news(), stream, self._node, int(handed_over)))

    def lose(self, news: Lost) -> None:
        """Notes that another node holds the stream, unless this one has taken it again since."""
        if self._numbers.get(news.stream, news.number + 1) <= news.number:
            self._lose(news.stream)

    def lose_at_once(self, stream: str) -> None:
        """Notes that the stream is lost. Harmless where the node does not hold it."""
        if stream in self._numbers:
            self._lose(stream)

    def lost(self) -> Sequence[str]:
        """The streams that the node has lost since the last call."""
        lost, self._lost = self._lost, {}
        return tuple(lost)

    def clear(self) -> None:
        """Forgets all, since the node has left. What Redis could not be told is an orphan once the lease is over."""
        self._say_late.stop()
        self._late.clear()
        self._unheard.clear()
        self._numbers.clear()
        self._lost.clear()

    async def claim(self, orphans: Mapping[str, bool]) -> Sequence[str]:
        """Holds those of the orphans that no other node has claimed before; `orphans` says which were handed over."""
        number = self._next_number()
        self._claiming.update(orphans)
        lease = self._lease
        command = CLAIM_ORPHANS(
            self._own_keys(), *self._news(), self._node, number, lease.milliseconds, lease.now, *orphans
        )
        answer = self._shards.ask(self._keys.held, command, within=FOR_EVER)
        answer.add_done_callback(partial(self._claimed, orphans, number))
        try:
            return [stream.decode() for stream in await asyncio.shield(answer)]
        except asyncio.CancelledError:
            answer.add_done_callback(partial(self._unwanted, orphans))
            raise

    async def check(self) -> None:
        """Compares with Redis: what others have taken is lost, and what Redis holds for this node though it does not
        know of it is an orphan."""
        await self._say_late.done()
        held = list(self._numbers.items())
        for start in range(0, len(held), CHECKED_AT_ONCE):
            await self._check(held[start : start + CHECKED_AT_ONCE])
        known = {*self._numbers, *self._claiming, *self._late}
        key = self._keys.held_by(self._node)
        for stream in await self._shards.ask(key, ("SMEMBERS", key), within=FOR_EVER):
            if (name := stream.decode()) not in known and name not in self._numbers:
                self.abandon(name)

    async def settled(self, *, within: float) -> None:
        """Waits until Redis knows what was said so far, or will know it before whatever is asked from now on.

        Raises `StoreUnavailable` where that takes longer than `within` seconds.
        """
        if not self._late and (self._shards.in_order or not self._unanswered):
            return
        try:
            async with asyncio.timeout(within):
                await self._say_late.done()
                if self._unanswered and not self._shards.in_order:
                    await asyncio.wait(tuple(self._unanswered))
        except TimeoutError:
            raise StoreUnavailable("the store cannot be used at the moment") from None

    # What is said

    def _say(self, stream: str, command: Command) -> None:
        if self._shards.health.since is None and not self._late:
            self._send(command)
            return
        self._late[stream] = command
        self._say_late()

    async def _say_what_waits(self) -> None:
        # It is answered as soon as Redis is back.
        await self._shards.ask(self._keys.held, ("PING",), within=FOR_EVER)
        late, self._late = self._late, {}
        self._unheard.clear()
        for command in late.values():
            self._send(command)

    def _send(self, command: Command) -> None:
        answer = self._shards.ask(self._keys.held, command, within=FOR_EVER)
        self._unanswered.add(answer)
        answer.add_done_callback(self._unanswered.discard)

    def _held(self, stream: str) -> Command:
        keys, lease = self._keys, self._lease
        return HOLD(
            (keys.held, keys.orphans, keys.living),
            *self._news(),
            *(keys.held_by(""), stream, self._node, self._numbers[stream], lease.milliseconds, lease.now),
        )

    def _own_keys(self) -> tuple[str, str, str, str]:
        return self._keys.held, self._keys.held_by(self._node), self._keys.orphans, self._keys.living

    def _news(self) -> tuple[str, str]:
        return self._shards.publish, self._keys.news

    # What is known

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _own(self, stream: str, number: int) -> None:
        self._numbers[stream] = number
        self._lost.pop(stream, None)

    def _lose(self, stream: str) -> None:
        del self._numbers[stream]
        self._lost[stream] = None
        self._released(stream)

    def _claimed(self, orphans: Mapping[str, bool], number: int, answer: Future[Any]) -> None:
        self._claiming.difference_update(orphans)
        if not answer.exception():
            for stream in answer.result():
                self._own(stream.decode(), number)

    def _unwanted(self, orphans: Mapping[str, bool], answer: Future[Any]) -> None:
        """Whoever had claimed these has gone before the answer came."""
        if not answer.exception():
            for stream in answer.result():
                self.abandon(stream.decode(), handed_over=orphans[stream.decode()])

    async def _check(self, some: Sequence[tuple[str, int]]) -> None:
        still = {stream: number for stream, number in some if self._numbers.get(stream) == number}
        pairs = [argument for pair in still.items() for argument in pair]
        command = CHECK_HELD(self._own_keys(), self._node, self._lease.milliseconds, self._lease.now, *pairs)
        for stream in await self._shards.ask(self._keys.held, command, within=FOR_EVER):
            name = stream.decode()
            if self._numbers.get(name) == still[name]:
                self._lose(name)
