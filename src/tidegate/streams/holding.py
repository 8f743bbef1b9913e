"""Creates and acquires streams for a node. The node says that it holds a stream before it creates or acquires it, so
that a death in between leaves an ordinary orphan."""

from __future__ import annotations

from tidegate.core.events import Started
from tidegate.errors import TidegateError
from tidegate.stores.base import Store
from tidegate.stores.cluster import Cluster
from tidegate.stores.records import Claim, Claimed, Fence, Look, StreamRecord


async def create(store: Store, cluster: Cluster, record: StreamRecord, claim: Claim | None) -> Fence | Claimed:
    """Creates the stream with its first event, as `Catalogue.create` does, and holds it from then on."""
    started = Started(record.id, record.model, record.created_at)
    cluster.hold(record.id)
    try:
        fence = await store.create(record, [started], claim=claim)
    except TidegateError:
        cluster.let_go(record.id)
        raise
    except BaseException:
        # The stream may have been created all the same, though its caller no longer waits for it.
        await cluster.hand_over(record.id)
        raise
    if isinstance(fence, Claimed):
        cluster.let_go(record.id)
    elif not cluster.holds(record.id):
        # This node was taken for dead meanwhile, and nobody else has found the stream.
        cluster.hold(record.id)
    return fence


async def acquire(store: Store, cluster: Cluster, stream: str, lease: bytes) -> tuple[Fence, Look]:
    """Takes the stream from the node that filled it, as `Catalogue.acquire` does; its fence and its new state."""
    cluster.hold(stream)
    try:
        return await store.acquire(stream, lease=lease), await store.look(stream)
    except BaseException:
        # The node that filled the stream may be fenced already, so another one has to take it.
        await cluster.hand_over(stream)
        raise
