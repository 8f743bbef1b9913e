"""What a probe tells over real sockets, and how it is left unanswered."""

from __future__ import annotations

import asyncio
import time

import pytest
from api_kit import call, fetch
from eventually_kit import eventually

from tidegate.app import EMBEDDED, Tidegate
from tidegate.stores.memory import MemoryStore
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio


async def test_a_probe_tells_what_has_arrived() -> None:
    """Version, names of headers, address, clock and length of the body; no value of a header but the host's."""
    app = Tidegate(EMBEDDED)
    async with serving(app) as url:
        _, _, told = await fetch(f"{url}/v1/probe", "POST", b"{}" + b" " * 100_000, {"authorization": "Bearer tg_x"})
    await app.close()
    assert abs(told.pop("time") - time.time()) < 60
    assert told == {
        "http_version": "1.1",
        "scheme": "http",
        "host": url.removeprefix("http://"),
        "headers": ["host", "content-type", "authorization", "content-length"],
        "address": "127.0.0.1",
        "body_bytes": 100_002,
        "max_body_bytes": 16_777_216,
        "dropped": None,
    }


async def test_a_drop_is_left_unanswered_and_counted() -> None:
    """For whoever sent it; the next request is answered again."""
    app = Tidegate(EMBEDDED)
    async with serving(app) as url:
        for _ in range(2):
            with pytest.raises((IndexError, ConnectionError)):
                async with call(f"{url}/v1/probe", "POST", {"drop": "x"}):
                    pass
        told = [(await fetch(f"{url}/v1/probe", "POST", {"dropped": name}))[2]["dropped"] for name in ("x", "y")]
    await app.close()
    assert told == [2, 0]


async def test_a_drop_is_counted_wherever_it_arrives() -> None:
    """A proxy may repeat it to another node than the one that is asked."""
    store = MemoryStore(max_generation_bytes=1 << 20)
    apps = [Tidegate(EMBEDDED, store=store) for _ in range(2)]
    for app in apps:
        await app.start()
    await eventually(lambda: all(app.service.node._cluster.others == 1 for app in apps))
    async with serving(apps[0]) as near, serving(apps[1]) as far:
        for url in (near, far):
            with pytest.raises((IndexError, ConnectionError)):
                async with call(f"{url}/v1/probe", "POST", {"drop": "x"}):
                    pass
        told = await asyncio.gather(*(fetch(f"{url}/v1/probe", "POST", {"dropped": "x"}) for url in (near, far)))
    for app in apps:
        await app.close()
    assert [each[2]["dropped"] for each in told] == [2, 2]
