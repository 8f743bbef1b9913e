"""An engine with providers that do as they are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from itertools import count

from tidegate.core.batching import BatchPolicy
from tidegate.core.cursor import Cursor
from tidegate.core.events import Event, GenerationRequest, Message
from tidegate.core.log import Entry
from tidegate.core.notices import Gap
from tidegate.core.principal import Principal
from tidegate.observe.base import Failure, Occurrence
from tidegate.providers.base import Provider, Sink
from tidegate.stores.cluster import Cluster
from tidegate.stores.memory import MemoryStore
from tidegate.streams.models import Model
from tidegate.streams.quotas import Quotas
from tidegate.streams.reader import Reader
from tidegate.streams.service import Service
from tidegate.streams.started_provider import StartedProvider
from tidegate.streams.timing import DEFAULT_TIMING, Timing

ANNA = Principal("key:anna", frozenset({"generate", "read", "cancel"}))
BERT = Principal("key:bert", frozenset({"generate", "read", "cancel"}))
ADMIN = Principal("key:root", frozenset({"admin"}))


_numbers = count()


class Scripted:
    """A provider that runs a function, and notes its starts, ends and cancels."""

    def __init__(self, play: Callable[[GenerationRequest, Sink], Awaitable[None]]) -> None:
        self._play = play
        self.asked = 0
        self.running = 0
        self.cancelled = 0
        self.closed = False

    async def start(self) -> None:
        return

    async def generate(self, request: GenerationRequest, sink: Sink) -> None:
        self.asked += 1
        self.running += 1
        try:
            await self._play(request, sink)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1

    async def close(self) -> None:
        self.closed = True


class Recorder:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[Occurrence] = []

    def observe(self, occurrence: Occurrence) -> None:
        self.seen.append(occurrence)

    def of(self, kind: type) -> list[Occurrence]:
        return [occurrence for occurrence in self.seen if isinstance(occurrence, kind)]


class Engine:
    """A service over a memory store, with shorthands."""

    def __init__(
        self,
        max_generation_bytes: int = 1 << 20,
        *,
        store: MemoryStore | None = None,
        lease_seconds: float = 5,
        quotas: Callable[[Cluster], Quotas] | None = None,
        timing: Timing = DEFAULT_TIMING,
    ) -> None:
        self.observer = Recorder()
        self.store = store or MemoryStore(max_generation_bytes=max_generation_bytes)
        self.cluster = self.store.join(f"node_{next(_numbers)}", lease_seconds)
        self.models: dict[str, Model] = {}
        self.service = Service(
            self.store,
            self.cluster,
            self.models,
            observer=self.observer,
            lease_seconds=lease_seconds,
            quotas=quotas(self.cluster) if quotas is not None else None,
            timing=timing,
        )

    def add(self, provider: Provider, name: str = "m", *, can_continue: bool = False, **limits: int) -> None:
        limits = {"max_concurrency": 0, "max_queue": 100, **limits}
        self.models[name] = Model(name, StartedProvider(provider), can_continue=can_continue, **limits)

    async def start(self, *, owner: Principal = ANNA, grace: float | None = None, **changes: object) -> str:
        handle = await self.service.start(request(**changes), owner=owner, grace=grace)
        return handle.stream

    async def follow(self, stream: str, *, viewer: Principal = ANNA, after: Cursor | None = None) -> Reader:
        return await self.service.follow(stream, viewer, after=after, batch=BatchPolicy(), transport="sse")

    async def events(self, stream: str, *, after: Cursor | None = None) -> list[Event]:
        """Everything after the cursor up to the stream's end."""
        return [entry.event for entry in await self.entries(stream, after=after)]

    async def entries(self, stream: str, *, after: Cursor | None = None) -> list[Entry]:
        reader = await self.follow(stream, after=after)
        found = [entry async for entry in until_end(reader)]
        reader.close()
        return found

    def failures(self) -> Mapping[str, BaseException]:
        return {o.where: o.exception for o in self.observer.of(Failure) if isinstance(o, Failure)}


ASKED = frozenset(
    {"append", "at_end", "readers", "cancel", "follow", "forget", "history", "list", "look", "record"}
    | {"share", "shares", "snapshot", "unshare", "whole"}
)
"""What callers ask for who come to the other node."""


class Pair:
    """Two nodes over one store. `near` starts and fills streams, and has `far` asked for whatever is asked of them."""

    def __init__(self) -> None:
        self.near = Engine()
        self.far = Engine(store=self.near.store)
        self.far.models = self.far.service.models = self.near.models
        self._services = self.near.service, self.far.service
        self.near.service = _Elsewhere(*self._services)  # type: ignore[assignment]

    async def open(self) -> None:
        for service in self._services:
            await service.open()

    async def close(self) -> None:
        for service in reversed(self._services):
            await service.close()


class _Elsewhere:
    def __init__(self, near: Service, far: Service) -> None:
        self._near = near
        self._far = far

    def __getattr__(self, name: str) -> object:
        return getattr(self._far if name in ASKED else self._near, name)


async def until_end(reader: Reader) -> AsyncIterator[Entry]:
    async with asyncio.timeout(10):
        while not reader.at_end:
            found = await reader.next(10)
            assert found is not None
            assert not isinstance(found, Gap)
            for entry in found:  # type: ignore[union-attr]
                yield entry


def request(**changes: object) -> GenerationRequest:
    asked: dict[str, object] = {"model": "m", "messages": (Message(role="user", content="Hello?"),), **changes}
    return GenerationRequest(**asked)  # type: ignore[arg-type]
