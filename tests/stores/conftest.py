from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from redis_kit import RedisServer
from redis_topics_kit import Nodes


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that the test may harm; it keeps nothing."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def nodes(redis_server: RedisServer, redis_url: str) -> AsyncIterator[Nodes]:
    """Nodes over one Redis, which has nothing in it yet: a test adds as many as it wants."""
    nodes = Nodes(redis_server)
    yield nodes
    await nodes.close()
