from __future__ import annotations

import pytest
from routes_kit import client_of, code_of

from tidegate.app import EMBEDDED, Tidegate

pytestmark = pytest.mark.anyio


async def test_a_probe_needs_no_body() -> None:
    """And refuses one that it does not understand."""
    async with client_of(Tidegate(EMBEDDED)) as client:
        assert (await client.post("/v1/probe")).json()["body_bytes"] == 0
        assert code_of(await client.post("/v1/probe", json={"wait": 5})) == (400, "unknown_field")
        assert code_of(await client.post("/v1/probe", json={"drop": "x" * 65})) == (400, "invalid_value")


async def test_under_a_server_that_always_answers_a_drop_is_refused() -> None:
    """It would count what was answered after all."""
    async with client_of(Tidegate(EMBEDDED)) as client:
        assert code_of(await client.post("/v1/probe", json={"drop": "x"})) == (400, "invalid_value")
