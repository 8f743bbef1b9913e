"""The `Cluster` within one process: nearly always of one node, of two where two applications share a memory store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from time import monotonic

from tidegate.core.bucket import Buckets
from tidegate.errors import StreamNotFound
from tidegate.stores.answering import Answering
from tidegate.stores.cluster import Command, Count, Orphan
from tidegate.stores.parts import Part, Parts, sums, total
from tidegate.stores.records import Look, Unwatch
from tidegate.stores.watchers import CountWatchers


class Nodes:
    """The state that the nodes of one store share. A node that has not renewed for `lease_seconds` is taken for dead.

    `look` looks a stream up. `clock` is in seconds.
    """

    def __init__(self, look: Callable[[str], Awaitable[Look]], *, clock: Callable[[], float] = monotonic) -> None:
        self.look = look
        self.clock = clock
        self.living: dict[str, LocalNode] = {}
        self.held: dict[str, LocalNode] = {}
        self.orphans: dict[str, bool] = {}
        self.watchers = CountWatchers()
        self.shared_buckets: dict[str, Buckets] = {}

    def join(self, node: str, lease_seconds: float) -> LocalNode:
        """Adds a node with this name, which no other node has."""
        joined = self.living[node] = LocalNode(self, node, lease_seconds)
        return joined

    def bury(self, now: float) -> None:
        """Removes the nodes that are dead."""
        for node in tuple(self.living.values()):
            if node.lives_until <= now:
                self.remove(node)

    def remove(self, node: LocalNode) -> None:
        """Removes a node. Harmless when repeated. If it comes back, it holds no streams, but has its counts again."""
        if self.living.get(node.node) is not node:
            return
        del self.living[node.node]
        for stream in [stream for stream, holder in self.held.items() if holder is node]:
            node.lose(stream)
            self.abandon(stream)
        node.tell_all()

    def abandon(self, stream: str, *, handed_over: bool = False) -> None:
        """Makes the stream an orphan."""
        self.held.pop(stream, None)
        self.orphans[stream] = handed_over
        for node in self.living.values():
            node.look_for_orphans()

    def clear(self) -> None:
        """Forgets holders and orphans, since the store is closed: when opened again, it names its orphans itself."""
        self.held.clear()
        self.orphans.clear()


class LocalNode:
    """One node; a `Cluster`."""

    def __init__(self, nodes: Nodes, node: str, lease_seconds: float) -> None:
        self.node = node
        self.parts = Parts()
        self.lives_until = nodes.clock() + lease_seconds
        self._nodes = nodes
        self._lease_seconds = lease_seconds
        self._listeners: dict[object, Callable[[Command], None]] = {}
        self.answering = Answering(node)
        self._lost: list[str] = []
        self._news = asyncio.Event()
        self.retires = False
        self._has_left = False
        self._is_offering = False

    @property
    def others(self) -> int:
        return len(self._nodes.living) - (self._nodes.living.get(self.node) is self)

    @property
    def successors(self) -> int:
        return sum(node is not self and not node.retires for node in self._nodes.living.values())

    @property
    def is_last(self) -> bool:
        return not self.others

    @property
    def orphaned(self) -> int:
        return len(self._nodes.orphans) + self._is_offering

    def retire(self) -> None:
        self.retires = True

    def hold(self, stream: str) -> None:
        if self._has_left:
            # Nobody would notice that it is not filled here.
            if stream not in self._nodes.held:
                self._nodes.abandon(stream)
            return
        self._nodes.orphans.pop(stream, None)
        if self.node not in self._nodes.living:
            # This node was taken for dead and has not renewed yet: it rejoins, so that its next death is noticed, too.
            self._show_life()
        before = self._nodes.held.get(stream)
        if before is not None and before is not self:
            before.lose(stream)
        self._nodes.held[stream] = self
        if stream in self._lost:
            # The stream had moved to another node, and has come back.
            self._lost.remove(stream)

    def holds(self, stream: str) -> bool:
        return self._nodes.held.get(stream) is self

    def let_go(self, stream: str) -> None:
        if self._nodes.held.get(stream) is self:
            del self._nodes.held[stream]

    async def hand_over(self, stream: str) -> None:
        if self._nodes.held.get(stream) is self:
            self._nodes.abandon(stream, handed_over=True)

    async def renew(self) -> Sequence[str]:
        self._has_left = False
        self._show_life()
        self._nodes.bury(self._nodes.clock())
        lost, self._lost = self._lost, []
        return lost

    def _show_life(self) -> None:
        self.lives_until = self._nodes.clock() + self._lease_seconds
        if self.node not in self._nodes.living:
            self._nodes.living[self.node] = self
            self.look_for_orphans()
            self.tell_all()

    def lose(self, stream: str) -> None:
        """Notes that this node has lost the stream."""
        self._lost.append(stream)

    def look_for_orphans(self) -> None:
        """Wakes this node's `orphans`."""
        self._news.set()

    async def orphans(self) -> AsyncIterator[Orphan]:
        # The node may have been opened on another loop before.
        self._news = asyncio.Event()
        while True:
            while self._nodes.orphans and not self._has_left:
                stream = next(iter(self._nodes.orphans))
                handed_over = self._nodes.orphans.pop(stream)
                self.hold(stream)
                self._is_offering = True
                try:
                    found = await self._nodes.look(stream)
                except StreamNotFound:
                    self.let_go(stream)
                    continue
                except BaseException:
                    self._nodes.abandon(stream, handed_over=handed_over)
                    raise
                finally:
                    self._is_offering = False
                yield Orphan(found.record, handed_over)
            self._news.clear()
            await self._news.wait()

    def tell(self, command: Command) -> None:
        for node in tuple(self._nodes.living.values()):
            if node is not self:
                node.hear(command)

    def hear(self, command: Command) -> None:
        """Calls the listeners in a later turn of the loop, as a command of another process would come."""
        for listener in tuple(self._listeners.values()):
            asyncio.get_running_loop().call_soon(listener, command)

    def listen(self, on_command: Callable[[Command], None]) -> Unwatch:
        key = object()
        self._listeners[key] = on_command
        return partial(self._listeners.pop, key, None)

    async def ask(self, question: bytes) -> Mapping[str, bytes]:
        # In a later turn of the loop, as a question to another process would be answered.
        await asyncio.sleep(0)
        others = [node for node in self._nodes.living.values() if node is not self]
        return {node.node: said for node in others if (said := node.answering.reply(question)) is not None}

    def answer(self, on_question: Callable[[bytes], bytes]) -> Unwatch:
        return self.answering.answer(on_question)

    def add(self, what: Count, key: str, change: int, member: str = "") -> None:
        self.parts.put(what, key, member, self.parts.number(what, key, member) + change)
        self._nodes.watchers.changed(what, key)

    def tell_all(self) -> None:
        """Wakes the watchers of all counts that this node has a part in, since it has come or gone."""
        for what, key in self.parts.counted():
            self._nodes.watchers.changed(what, key)

    def counts(self, what: Count, key: str) -> Mapping[str, int]:
        return sums(self._parts_of(what, key))

    def total(self, what: Count, key: str) -> int:
        return total(self._parts_of(what, key))

    def _parts_of(self, what: Count, key: str) -> Iterator[Part]:
        return (node.parts.of(what, key) for node in self._nodes.living.values())

    def watch(self, what: Count, key: str, wake: Callable[[], None]) -> None:
        self._nodes.watchers.add(what, key, wake)

    def unwatch(self, what: Count, key: str, wake: Callable[[], None]) -> None:
        self._nodes.watchers.remove(what, key, wake)

    def buckets(self, name: str, rate: float, capacity: float) -> Buckets:
        if name not in self._nodes.shared_buckets:
            self._nodes.shared_buckets[name] = Buckets(rate, capacity)
        return self._nodes.shared_buckets[name]

    async def leave(self) -> None:
        self._has_left, self.retires = True, False
        self._nodes.remove(self)
