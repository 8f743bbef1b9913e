"""What a node that stops leaves to another one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from engine_kit import Engine, Scripted
from eventually_kit import eventually
from nodes_kit import LEASE, Nodes, begun, hang

from tidegate.core.events import Event, Failed
from tidegate.errors import StoreUnavailable
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Fence
from tidegate.streams.timing import Timing

pytestmark = pytest.mark.anyio


class Away(MemoryStore):
    """A store that cannot write while it is `away`."""

    away = False

    def append(self, events: Sequence[Event], *, fence: Fence, expected: int) -> int:
        if self.away:
            raise StoreUnavailable("it is away")
        return super().append(events, fence=fence, expected=expected)


async def test_what_a_node_could_not_end_is_ended_by_another() -> None:
    """The store could not write when the node stopped, and it can again: somebody has to write the end."""
    store = Away(max_generation_bytes=1 << 20)
    near, far = (Engine(store=store, lease_seconds=LEASE, timing=Timing(parting=0.01)) for _ in range(2))
    for engine in (near, far):
        engine.add(Scripted(hang))
        await engine.service.open()
    stream = await near.start()
    await eventually(lambda: store._get(stream).log.tail == 2)
    store.away = True
    await near.service.close()
    store.away = False
    assert isinstance((await far.events(stream))[-1], Failed)
    await far.service.close()


async def test_a_node_that_stops_takes_nothing_back(nodes: Nodes) -> None:
    """What it has handed over when it was not given time to drain is the other's, as after a drain."""
    near, far = nodes.add(can_continue=True)
    for _ in range(2):
        await begun(nodes)
    await nodes.near.service.close()
    await eventually(lambda: far.asked == 2)
    assert near.asked == 2
