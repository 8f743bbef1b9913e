from __future__ import annotations

from pathlib import Path

import pytest
from eventually_kit import eventually
from routes_kit import client_of, code_of

from tidegate import Tidegate
from tidegate.stores.sqlite.store import SqliteStore
from tidegate.stores.sqlite.writer import Looks

pytestmark = pytest.mark.anyio


async def test_a_server_is_alive_and_ready() -> None:
    """Nothing has to be asked of it before."""
    async with client_of(Tidegate()) as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/readyz")).json() == {"status": "ready"}


async def test_a_server_that_drains_is_alive_but_not_ready() -> None:
    """A load balancer sends nobody else to it, and a supervisor lets it finish."""
    app = Tidegate()
    async with client_of(app) as client:
        assert (await client.get("/readyz")).status_code == 200
        await app.drain()
        assert code_of(await client.get("/readyz")) == (503, "draining")
        assert (await client.get("/healthz")).status_code == 200


async def test_a_server_whose_store_is_lost_is_not_ready(tmp_path: Path) -> None:
    """It would refuse every answer."""
    path = tmp_path / "store.db"
    looks = Looks(idle_seconds=0.01, fresh_seconds=0)
    app = Tidegate(store=SqliteStore(path, max_generation_bytes=1000, looks=looks))
    async with client_of(app) as client:
        assert (await client.get("/readyz")).status_code == 200
        path.unlink()
        await eventually(lambda: app.service.store_fault)
        assert code_of(await client.get("/readyz")) == (503, "store_unavailable")
        assert (await client.get("/healthz")).status_code == 200
