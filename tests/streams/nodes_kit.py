"""Two engines over one memory store: `near` has what a test starts, `far` is asked for it."""

from __future__ import annotations

import asyncio

from engine_kit import Engine, Scripted
from eventually_kit import eventually

from tidegate.core.events import Completed, Delta, GenerationRequest, Usage
from tidegate.providers.base import Sink
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Look
from tidegate.streams.quotas import Quotas

LEASE = 0.4
END = Completed("stop", Usage(0, 1, 1))


async def hang(request: GenerationRequest, sink: Sink) -> None:
    sink.emit([Delta("Well, ")])
    await asyncio.Event().wait()


async def go_on(request: GenerationRequest, sink: Sink) -> None:
    """Ends what another node has begun; what begins here hangs."""
    if request.carried is None:
        await hang(request, sink)
    sink.emit([Delta("then."), END])


class Nodes:
    """`near` has what a test starts; `far` is asked for it."""

    def __init__(self) -> None:
        self.store = MemoryStore(max_generation_bytes=1 << 20)
        limits = lambda cluster: Quotas(cluster, generations=3, readers=3, clock=lambda: 0.0)  # noqa: E731
        self.near, self.far = (Engine(store=self.store, lease_seconds=LEASE, quotas=limits) for _ in range(2))

    def add(self, play: object = hang, *, can_continue: bool = False) -> tuple[Scripted, Scripted]:
        providers = Scripted(play), Scripted(play)  # type: ignore[arg-type]
        for engine, provider in zip((self.near, self.far), providers, strict=True):
            engine.add(provider, can_continue=can_continue)
        return providers

    async def die(self) -> None:
        """The near node is cut off: it neither renews nor appends any more, and has said nothing of it."""
        service = self.near.service
        await stopped(service.node._membership._renewing, service.node._membership._adopting)
        for live in service.node.live:
            live.producer._store = Gone()  # type: ignore[union-attr]


async def stopped(*tasks: asyncio.Task[None] | None) -> None:
    for task in tasks:
        assert task is not None
        task.cancel()
    await asyncio.wait([task for task in tasks if task is not None])


class Gone:
    """A store that is not reached."""

    def append(self, *_: object, **__: object) -> asyncio.Future[int]:
        return asyncio.get_running_loop().create_future()


def fail_one_look(nodes: Nodes, error: Exception) -> list[str]:
    """The cluster's next look-up of an orphan raises the error; answers the stream that it was about, once it has."""
    look, failed = nodes.store._nodes.look, list[str]()

    async def fail_once(stream: str) -> Look:
        if not failed:
            failed.append(stream)
            raise error
        return await look(stream)

    nodes.store._nodes.look = fail_once
    return failed


async def begun(nodes: Nodes, **how: object) -> str:
    """A stream that the near node fills, with its first piece."""
    stream = await nodes.near.start(**how)  # type: ignore[arg-type]
    await eventually(lambda: nodes.store._get(stream).log.tail == 2)
    return stream
