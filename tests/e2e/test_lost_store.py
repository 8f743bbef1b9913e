"""A server whose store is deleted under it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from api_kit import call, fetch
from eventually_kit import eventually

pytestmark = pytest.mark.anyio

CONFIG = """
[store]
url = "sqlite:///logs.db"
[[models]]
name = "slow"
provider = "replay"
text = "word "
tokens = 1000
rate = 50
"""


async def test_a_store_that_is_deleted_is_said_within_seconds(server: Callable[[str], str], tmp_path: Path) -> None:
    """`/readyz` says so, and new answers are refused; what was live shows nothing that the store does not have, and
    ends once the store is back."""
    url = server(CONFIG)
    body = {"model": "slow", "prompt": "q", "stream": True, "on_disconnect": "keep"}
    async with call(f"{url}/v1/streams", "POST", body) as live:
        events = live.events()
        while (await anext(events)).event != "delta":
            pass
        (tmp_path / "logs.db").rename(tmp_path / "aside.db")

        async def noticed() -> bool:
            return (await fetch(f"{url}/readyz"))[0] != 200

        await eventually(noticed, within=5)
        status, _, found = await fetch(f"{url}/readyz")
        assert status == 503
        assert found["error"]["code"] == "store_unavailable"
        assert (await fetch(f"{url}/healthz"))[0] == 200
        status, _, refused = await fetch(f"{url}/v1/streams", "POST", {**body, "background": True})
        assert (status, refused["error"]["code"]) == (503, "store_unavailable")
        (tmp_path / "aside.db").rename(tmp_path / "logs.db")
        async with asyncio.timeout(10):
            last = [event async for event in events][-1]
    assert last.event == "failed"
    assert json.loads(last.data)["error"]["code"] == "store_unavailable"
    assert (await fetch(f"{url}/readyz"))[0] == 200
