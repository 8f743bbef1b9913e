from __future__ import annotations

import pytest
from routes_kit import client_of, error_of

from tidegate import Tidegate

pytestmark = pytest.mark.anyio


async def test_a_message_is_published_once_for_its_key() -> None:
    """Repeated, it is answered with the position that it has; another one under that key is refused."""
    async with client_of(Tidegate()) as client:
        key = {"idempotency-key": "k"}
        first, again = [await client.post("/v1/topics/room/messages", json={"data": 1}, headers=key) for _ in range(2)]
        assert first.status_code == 200
        assert again.json() == first.json()
        other = await client.post("/v1/topics/room/messages", json={"data": 2}, headers=key)
        assert other.status_code == 409


@pytest.mark.parametrize("name", ["-room", "r%20oom", "x" * 129])
async def test_what_cannot_be_a_topic_is_refused(name: str) -> None:
    """Whatever is asked of it."""
    async with client_of(Tidegate()) as client:
        for answer in (
            await client.post(f"/v1/topics/{name}/messages", json={"data": 1}),
            await client.get(f"/v1/topics/{name}/presence"),
            await client.get(f"/v1/topics/{name}/events"),
        ):
            assert answer.status_code == 400


async def test_where_nobody_is_subscribed_nobody_is_present() -> None:
    """A position that makes no sense subscribes nobody."""
    async with client_of(Tidegate()) as client:
        refused = await client.get("/v1/topics/room/events?after=soon")
        assert (refused.status_code, error_of(refused)["param"]) == (400, "after")
        assert (await client.get("/v1/topics/room/presence")).json() == []
