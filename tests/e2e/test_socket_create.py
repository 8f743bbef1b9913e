"""The op `create` takes what `POST /v1/streams` takes: a stream that its caller fills, too."""

from __future__ import annotations

import pytest
from api_kit import fetch
from socket_kit import JSON, MSGPACK, CallFailed, socket

from tidegate.app import Tidegate
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("codec", [JSON, MSGPACK])
async def test_create_for_a_producer(codec: str) -> None:
    """The `ok` has the lease and the offset by which the caller appends, and the socket follows what it appends."""
    app = Tidegate()
    async with serving(app) as url, socket(url, codec) as client:
        made = await client.call("create", producer="client", metadata={"a": "b"}, key="k")
        assert (made["offset"], made["lease"]["seconds"]) == (1, 5)
        assert (await client.event())["type"] == "started"
        path = f"{url}/v1/streams/{made['stream']}"
        body = {"lease": made["lease"]["token"], "expected_offset": made["offset"]}
        events = [{"type": "delta", "data": {"text": "x"}}]
        assert (await fetch(f"{path}/append", "POST", {**body, "events": events}))[0] == 200
        assert (await client.event())["data"] == {"text": "x"}
        assert (await fetch(path))[2]["metadata"] == {"a": "b"}
        # Repeated with its key, over this transport or that, it leads to the same stream, and fences the old lease.
        again = await client.call("create", producer="client", metadata={"a": "b"}, key="k")
        assert (again["stream"], again["offset"]) == (made["stream"], 2)
        asked = {"producer": "client", "metadata": {"a": "b"}}
        opened = (await fetch(f"{url}/v1/streams", "POST", asked, {"idempotency-key": "k"}))[2]
        assert opened["id"] == made["stream"]
        status, _, refused = await fetch(f"{path}/append", "POST", {**body, "expected_offset": 2, "events": []})
        assert (status, refused["error"]["code"]) == (409, "fenced")
    await app.close()


async def test_create_for_a_producer_alone() -> None:
    """With `attach: false` the caller fills it and does not follow it; one that has ended has no lease any more."""
    app = Tidegate()
    async with serving(app) as url, socket(url) as client:
        made = await client.call("create", producer="client", attach=False, key="k")
        events = [{"type": "completed", "data": {"finish_reason": "stop"}}]
        body = {"lease": made["lease"]["token"], "expected_offset": 1, "events": events}
        await fetch(f"{url}/v1/streams/{made['stream']}/append", "POST", body)
        again = await client.call("create", producer="client", attach=False, key="k")
        assert (again["stream"], again["lease"], again["offset"]) == (made["stream"], None, 2)
        assert client.events.empty()
        for fields in ({"producer": "server"}, {"producer": "client", "prompt": "x"}, {"producer": 5}):
            with pytest.raises(CallFailed) as caught:
                await client.call("create", **fields)
            assert caught.value.code in ("invalid_value", "unknown_field")
    await app.close()
