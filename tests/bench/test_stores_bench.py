from __future__ import annotations

from pathlib import Path

import pytest

from tidegate.bench.stores import on_disk
from tidegate.core.events import Delta, Started
from tidegate.stores.records import Fence, StreamRecord
from tidegate.stores.sqlite.store import SqliteStore

pytestmark = pytest.mark.anyio


async def test_events_of_streams_without_an_end_count(tmp_path: Path) -> None:
    """A server that was killed while its streams were live has written their tokens all the same."""
    file = tmp_path / "store.db"
    store = SqliteStore(file, max_generation_bytes=1 << 20)
    await store.open()
    fence = await store.create(
        StreamRecord(id="gen_1", owner="o", model="m", created_at=1.0), [Started("gen_1", "m", 1)]
    )
    assert isinstance(fence, Fence)
    await store.append([Delta("x")] * 999, fence=fence, expected=1)
    await store.close()
    size = file.stat().st_size
    assert on_disk(file) == {"KB/1,000 tokens": size / 1024}
