"""One node of those that work on one Redis: the `Cluster` made of its parts."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from tidegate.core.bucket import Buckets
from tidegate.errors import StoreUnavailable
from tidegate.stores.cluster import Command, Count, Orphan
from tidegate.stores.records import Look, Unwatch
from tidegate.stores.redis.keys import Keys
from tidegate.stores.redis.link.shards import Shards
from tidegate.stores.redis.nodes.buckets import SharedBuckets
from tidegate.stores.redis.nodes.commands import Commands
from tidegate.stores.redis.nodes.counts import Counts
from tidegate.stores.redis.nodes.holdings import Holdings
from tidegate.stores.redis.nodes.lease import Lease
from tidegate.stores.redis.nodes.members import Members
from tidegate.stores.redis.nodes.messages import Asked, Changed, Counted, Lost, Told, decode, encode
from tidegate.stores.redis.nodes.orphans import Orphans
from tidegate.stores.redis.nodes.questions import Questions
from tidegate.stores.redis.nodes.soon import Soon

LEAVE_SECONDS = 2.0
"""How long a node that leaves waits for Redis. Where it is away, the node's lease runs out all the same."""

logger = logging.getLogger("tidegate.stores")


class RedisNode:
    """A `Cluster`. It joins with the first renewal, or what it holds first.

    `look` looks a stream up, `released` is told of each stream that this node fills no longer, and `here` has the nodes
    that work on the same store object. `clock` replaces Redis' own and the node's, in seconds: only tests have one.
    """

    def __init__(
        self,
        shards: Shards,
        keys: Keys,
        node: str,
        lease_seconds: float,
        look: Callable[[str], Awaitable[Look]],
        *,
        released: Callable[[str], object],
        here: Sequence[RedisNode] = (),
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.node = node
        self._shards = shards
        self._keys = keys
        self._lease = Lease(shards, keys, node, lease_seconds, clock=clock)
        self._members = Members(shards, keys, node, self._seen)
        self._here = here
        self._holdings = Holdings(shards, keys, node, self._lease, released)
        self._orphans = Orphans(shards, keys, self._holdings, look, self._may_claim)
        self._counts = Counts(shards, keys, node, self._lease, known=self._orphans.look_again)
        self._commands = Commands(shards, keys, node)
        self._questions = Questions(shards, keys, node)
        self._buckets: dict[str, SharedBuckets] = {}
        self._look_soon = Soon(self._members.look)
        self._check_soon = Soon(self._holdings.check)
        self._has_joined = False
        self._has_left = False
        self._retires = False

    # Who is there

    @property
    def others(self) -> int:
        return len(self._members.others)

    @property
    def successors(self) -> int:
        return len(self._members.others - self._members.retiring)

    @property
    def is_last(self) -> bool:
        return not any(node._has_joined for node in self._here if node is not self)

    @property
    def orphaned(self) -> int:
        return self._members.orphaned + self._orphans.offering

    def retire(self) -> None:
        if not self._retires:
            self._retires = True
            self._say_that_it_retires()

    async def renew(self) -> Sequence[str]:
        self._has_left = False
        self._join()
        renewed = await self._lease.renew()
        if renewed.dead:
            logger.warning("taken for dead, since they renew their leases no more: %s", ", ".join(renewed.dead))
            await self._lease.bury(*renewed.dead)
        if renewed.lapsed:
            await self._recover()
        await self._members.look()
        return self._holdings.lost()

    async def leave(self) -> None:
        if self._has_joined:
            self._has_joined = False
            self._shards.ignore(self._keys.news)
            self._shards.ignore(self._keys.mail(self.node))
            self._counts.leave()
            self._look_soon.stop()
            self._check_soon.stop()
            with suppress(StoreUnavailable):
                await self._lease.bury(leaves=True, within=LEAVE_SECONDS)
        self._has_left, self._retires = True, False
        self._holdings.clear()

    def _join(self) -> None:
        if not self._has_joined:
            self._has_joined = True
            self._counts.join()
            self._shards.listen(self._keys.news, self)
            self._shards.listen(self._keys.mail(self.node), self._questions)

    async def _recover(self) -> None:
        """Others have taken this node for dead, or may have: finds out what it has lost, and counts again."""
        if self._retires:
            self._say_that_it_retires()
        self._counts.tell_again()
        await self._holdings.check()

    def _say_that_it_retires(self) -> None:
        self._shards.tell(self._keys.retiring, ("SADD", self._keys.retiring, self.node))
        self._shards.tell(self._keys.news, (self._shards.publish, self._keys.news, encode(Changed())))

    def _seen(self) -> None:
        self._counts.meet(self._members.others)
        self._commands.meet(self._members.others)
        if self._members.orphaned:
            self._orphans.look_again()

    # As a `Listener`

    def heard(self, message: bytes) -> None:
        """Takes a message to all nodes."""
        match decode(message):
            case Counted() as news:
                self._counts.hear(news)
            case Told() as news:
                self._commands.hear(news)
            case Asked() as news:
                self._questions.hear(news)
            case Lost() as news if news.node == self.node:
                self._holdings.lose(news)
            case Changed():
                self._look_soon()
            case _:
                return

    def listens(self) -> None:
        """Makes up for the messages that may have been missed."""
        self._counts.begin_to_hear()
        self._look_soon()
        self._check_soon()

    # What it holds

    def hold(self, stream: str) -> None:
        if self._has_left:
            # Nobody would notice that it is not filled here.
            self._holdings.abandon(stream)
            return
        self._join()
        self._holdings.hold(stream)

    def holds(self, stream: str) -> bool:
        return stream in self._holdings

    def let_go(self, stream: str) -> None:
        self._holdings.let_go(stream)

    async def hand_over(self, stream: str) -> None:
        if stream in self._holdings:
            self._holdings.abandon(stream, handed_over=True)

    def abandon(self, stream: str) -> None:
        """Makes the stream, which this node holds and does not fill after all, an orphan."""
        if stream in self._holdings:
            self._holdings.abandon(stream)

    def lose(self, stream: str) -> None:
        """Notes that this node cannot fill the stream any more; where no other node holds it, it is an orphan."""
        self._holdings.lose_at_once(stream)
        self._holdings.abandon(stream)

    async def settled(self, *, within: float) -> None:
        """Waits until Redis knows what this node holds, or will know it before whatever is asked from now on.

        Raises `StoreUnavailable` where that takes longer than `within` seconds.
        """
        await self._holdings.settled(within=within)

    def orphans(self) -> AsyncIterator[Orphan]:
        return self._orphans.offered()

    def _may_claim(self) -> bool:
        # Whether somebody reads an orphan elsewhere decides what becomes of it.
        return self._has_joined and self._counts.are_known

    # Commands and questions

    def tell(self, command: Command) -> None:
        self._commands.tell(command)

    def listen(self, on_command: Callable[[Command], None]) -> Unwatch:
        return self._commands.listen(on_command)

    async def ask(self, question: bytes) -> Mapping[str, bytes]:
        return await self._questions.ask(question, self._members.others)

    def answer(self, on_question: Callable[[bytes], bytes]) -> Unwatch:
        return self._questions.answering.answer(on_question)

    # Counts and buckets

    def add(self, what: Count, key: str, change: int, member: str = "") -> None:
        self._counts.add(what, key, change, member)

    def counts(self, what: Count, key: str) -> Mapping[str, int]:
        return self._counts.sums(what, key)

    def total(self, what: Count, key: str) -> int:
        return self._counts.total(what, key)

    def watch(self, what: Count, key: str, wake: Callable[[], None]) -> None:
        self._counts.watchers.add(what, key, wake)

    def unwatch(self, what: Count, key: str, wake: Callable[[], None]) -> None:
        self._counts.watchers.remove(what, key, wake)

    def buckets(self, name: str, rate: float, capacity: float) -> Buckets:
        if name not in self._buckets:
            self._buckets[name] = SharedBuckets(self._shards, self._keys, self.node, self._lease, name, rate, capacity)
        return self._buckets[name].buckets
