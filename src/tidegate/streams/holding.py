"""A node says that it fills a stream before it creates or acquires it: a death in between leaves an orphan like any."""

from __future__ import annotations

from tidegate.core.events import Started
from tidegate.errors import TidegateError
from tidegate.stores.base import Store
from tidegate.stores.cluster import Cluster
from tidegate.stores.records import Claim, Claimed, Fence, StreamRecord


async def create(store: Store, cluster: Cluster, record: StreamRecord, claim: Claim | None) -> Fence | Claimed:
    """Opens the stream with its first event, as `Catalogue.create` does, and holds it from then on."""
    started = Started(record.id, record.model, record.created_at)
    cluster.hold(record.id)
    try:
        fence = await store.create(record, [started], claim=claim)
    except TidegateError:
        cluster.let_go(record.id)
        raise
    except BaseException:
        # It may be there all the same, and its caller has not waited for it.
        await cluster.hand_over(record.id)
        raise
    if isinstance(fence, Claimed):
        cluster.let_go(record.id)
    return fence


async def acquire(store: Store, cluster: Cluster, stream: str, lease: bytes) -> tuple[Fence, int]:
    """Takes the stream, whose producer has this lease, from the node that filled it: its fence, and its tail."""
    cluster.hold(stream)
    try:
        return await store.acquire(stream, lease=lease), (await store.tail(stream)).offset
    except BaseException:
        # Whoever filled it has lost it, and may be fenced already: somebody has to take it.
        await cluster.hand_over(stream)
        raise
