from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_kit import RedisServer


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that the test may harm; it keeps nothing."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()
