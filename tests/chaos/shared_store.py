"""A memory store on a thread of its own, and what the nodes of a run have of it: a node can be cut off from it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from tidegate.core.bucket import Buckets
from tidegate.core.events import TERMINAL_TYPES, Event
from tidegate.stores.cluster import Cluster, Command, Count, Orphan
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Fence, Unwatch

ANSWER_SECONDS = 30.0

Wrap = Callable[[Cluster], Cluster]


class SharedStore:
    """Nodes on threads of their own ask it as they would ask a server: what it answers takes a turn of its loop.

    `wrap` makes something else of each node's cluster: so tests plant faults. `acquired` are the streams that a node
    has taken over, `ended` those that have an end, and when, by `time.monotonic`.
    """

    def __init__(self, *, max_generation_bytes: int = 1 << 24, wrap: Wrap = lambda cluster: cluster) -> None:
        self.store = MemoryStore(max_generation_bytes=max_generation_bytes)
        self.loop = asyncio.new_event_loop()
        self.acquired: list[tuple[str, float]] = []
        self.ended: dict[str, float] = {}
        self.wrap = wrap
        self._thread = threading.Thread(target=self.loop.run_forever, name="store", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self._stop)
        self._thread.join(ANSWER_SECONDS)
        self.loop.close()

    def _stop(self) -> None:
        waiting = asyncio.all_tasks(self.loop)
        for task in waiting:
            task.cancel()
        asyncio.ensure_future(asyncio.wait({*waiting, self.loop.create_task(asyncio.sleep(0))})).add_done_callback(
            lambda _: self.loop.stop()
        )


class Link:
    """A node's way to the store. Once it is cut nothing gets through: what is asked then is never answered."""

    def __init__(self, shared: SharedStore) -> None:
        self.is_cut = False
        self._shared = shared
        self._asked: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """From any thread, and once and for all. Nothing waits at the store on the node's behalf any more, either."""
        self.is_cut = True
        self._shared.loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._asked])

    def later(self, ask: Callable[[], Any]) -> asyncio.Future[Any]:
        """Asks, and answers by a future of the running loop. Whether somebody waits for it changes nothing."""
        loop = asyncio.get_running_loop()
        answer = loop.create_future()

        def start() -> None:
            task = self._shared.loop.create_task(self._answer(ask, loop, answer))
            self._asked.add(task)
            task.add_done_callback(self._asked.discard)

        if not self.is_cut:
            self._shared.loop.call_soon_threadsafe(start)
        return answer

    def now(self, ask: Callable[[], Any], default: Any = None) -> Any:
        """Asks, and waits for the answer: `default` where the link is cut."""
        if self.is_cut:
            return default
        answer: concurrent.futures.Future[Any] = concurrent.futures.Future()

        def run() -> None:
            try:
                answer.set_result(ask())
            except Exception as error:
                answer.set_exception(error)

        self._shared.loop.call_soon_threadsafe(run)
        return answer.result(ANSWER_SECONDS)

    def back(self, call: Callable[..., object]) -> Callable[..., None]:
        """The same for the store to call: it runs on the loop that is running now, until that is closed."""
        loop = asyncio.get_running_loop()

        def called(*args: object) -> None:
            if not self.is_cut:
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(call, *args)

        return called

    async def _answer(
        self, ask: Callable[[], Any], loop: asyncio.AbstractEventLoop, answer: asyncio.Future[Any]
    ) -> None:
        settle: Callable[[], None]
        try:
            if self.is_cut:
                return
            found = ask()
            if inspect.isawaitable(found):
                found = await found
            settle = partial(answer.set_result, found)
        except Exception as error:
            settle = partial(answer.set_exception, error)
        if not self.is_cut:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(lambda: None if answer.done() else settle())


class NodeStore:
    """The store, as one node has it; a `Store`."""

    outlives_process = MemoryStore.outlives_process
    fault = None

    def __init__(self, shared: SharedStore) -> None:
        self.link = Link(shared)
        self._shared = shared

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._shared.store, name)

        def ask(*args: Any, **named: Any) -> asyncio.Future[Any]:
            return self.link.later(lambda: method(*args, **named))

        return ask

    def join(self, node: str, lease_seconds: float) -> Cluster:
        shared = self._shared
        joined: Cluster = self.link.now(lambda: shared.wrap(shared.store.join(node, lease_seconds)))
        return NodeCluster(self.link, joined)

    def acquire(self, stream: str, *, lease: bytes = b"") -> asyncio.Future[Fence]:
        async def acquire() -> Fence:
            fence = await self._shared.store.acquire(stream, lease=lease)
            self._shared.acquired.append((stream, time.monotonic()))
            return fence

        return self.link.later(acquire)

    def append(self, events: Sequence[Event], *, fence: Fence, expected: int) -> asyncio.Future[int]:
        def append() -> int:
            tail = self._shared.store.append(events, fence=fence, expected=expected)
            if events and isinstance(events[-1], TERMINAL_TYPES):
                self._shared.ended.setdefault(fence.stream, time.monotonic())
            return tail

        return self.link.later(append)

    def watch(self, stream: str, wake: Callable[[], None]) -> Unwatch:
        watching = True

        def awake() -> None:
            if watching:
                wake()

        called = self.link.back(awake)
        unwatch: Unwatch = self.link.now(lambda: self._shared.store.watch(stream, called), lambda: None)

        def over() -> None:
            nonlocal watching
            watching = False
            self.link.now(unwatch)

        return over

    async def close(self) -> None:
        """The store is the harness's, which reads it after all nodes have left."""


class NodeCluster:
    """The cluster, as one node has it; a `Cluster`."""

    def __init__(self, link: Link, cluster: Cluster) -> None:
        self.node = cluster.node
        self._link = link
        self._cluster = cluster
        self._wakes: dict[tuple[Count, str, Callable[[], None]], list[Callable[[], None]]] = {}

    @property
    def others(self) -> int:
        return self._link.now(lambda: self._cluster.others, 0)

    @property
    def is_last(self) -> bool:
        # The store is the harness's.
        return False

    @property
    def successors(self) -> int:
        return self._link.now(lambda: self._cluster.successors, 0)

    @property
    def orphaned(self) -> int:
        return self._link.now(lambda: self._cluster.orphaned, 0)

    def retire(self) -> None:
        self._link.now(self._cluster.retire)

    def hold(self, stream: str) -> None:
        self._link.now(lambda: self._cluster.hold(stream))

    def holds(self, stream: str) -> bool:
        return self._link.now(lambda: self._cluster.holds(stream), default=False)

    def let_go(self, stream: str) -> None:
        self._link.now(lambda: self._cluster.let_go(stream))

    async def hand_over(self, stream: str) -> None:
        await self._link.later(lambda: self._cluster.hand_over(stream))

    def renew(self) -> asyncio.Future[list[str]]:
        return self._link.later(self._cluster.renew)

    async def orphans(self) -> AsyncIterator[Orphan]:
        offered = aiter(self._cluster.orphans())
        answer: asyncio.Future[Orphan] | None = None

        async def offer() -> Orphan:
            orphan = await anext(offered)
            if answer is not None and answer.done():
                # Nobody waits for it any more.
                await self._cluster.hand_over(orphan.record.id)
            return orphan

        while True:
            answer = self._link.later(offer)
            yield await answer

    def tell(self, command: Command) -> None:
        self._link.now(lambda: self._cluster.tell(command))

    def listen(self, on_command: Callable[[Command], None]) -> Unwatch:
        called = self._link.back(on_command)
        unlisten: Unwatch = self._link.now(lambda: self._cluster.listen(called), lambda: None)
        return lambda: self._link.now(unlisten)

    def ask(self, question: bytes) -> asyncio.Future[Mapping[str, bytes]]:
        return self._link.later(lambda: self._cluster.ask(question))

    def answer(self, on_question: Callable[[bytes], bytes]) -> Unwatch:
        """Nobody asks: the operators' calls are no part of a run."""
        return lambda: None

    def add(self, what: Count, key: str, change: int, member: str = "") -> None:
        self._link.now(lambda: self._cluster.add(what, key, change, member))

    def counts(self, what: Count, key: str) -> Mapping[str, int]:
        return self._link.now(lambda: self._cluster.counts(what, key), {})

    def total(self, what: Count, key: str) -> int:
        return self._link.now(lambda: self._cluster.total(what, key), 0)

    def watch(self, what: Count, key: str, wake: Callable[[], None]) -> None:
        def awake() -> None:
            if called in self._wakes.get((what, key, wake), ()):
                wake()

        called = self._link.back(awake)
        self._wakes.setdefault((what, key, wake), []).append(called)
        self._link.now(lambda: self._cluster.watch(what, key, called))

    def unwatch(self, what: Count, key: str, wake: Callable[[], None]) -> None:
        if called := self._wakes.get((what, key, wake)):
            one = called.pop()
            if not called:
                del self._wakes[what, key, wake]
            self._link.now(lambda: self._cluster.unwatch(what, key, one))

    def buckets(self, name: str, rate: float, capacity: float) -> Buckets:
        return self._link.now(lambda: self._cluster.buckets(name, rate, capacity))

    def leave(self) -> asyncio.Future[None]:
        return self._link.later(self._cluster.leave)
