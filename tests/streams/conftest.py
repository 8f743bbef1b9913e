from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from engine_kit import Engine, Pair


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
