from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from engine_kit import Engine, Pair
from nodes_kit import Nodes


@pytest.fixture(params=["one node", "two nodes"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    """What a caller has before it: a node that fills streams, or another one that is asked for them."""
    if request.param == "one node":
        yield Engine()
        return
    pair = Pair()
    await pair.open()
    yield pair.near
    await pair.close()


@pytest.fixture
def single() -> Engine:
    """A node without others."""
    return Engine()


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    nodes = Nodes()
    await nodes.near.service.open()
    await nodes.far.service.open()
    yield nodes
    await nodes.far.service.close()
    await nodes.near.service.close()
