"""Two servers on one Redis behind a balancer that sends each connection to the next of them."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from api_kit import call, fetch
from balancer_kit import balancer
from eventually_kit import eventually
from restart_kit import Restartable

pytestmark = pytest.mark.anyio

LEASE = 1.0

DRAIN = 40

CONFIG = """
[server]
drain_seconds = {drain}
[store]
url = "{url}"
prefix = "{prefix}"
lease_seconds = {lease}
[limits]
requests_per_minute = 0
readers_per_principal = 0
concurrent_generations = 0
connections_per_principal = 0
[[models]]
name = "goes-on"
provider = "replay"
text = "{words}"
tokens = 100
rate = 20
can_continue = true
[[models]]
name = "does-not"
provider = "replay"
tokens = 100
rate = 20
"""

WORDS = [f"w{number}" for number in range(100)]

_prefixes = count()


class Pair(NamedTuple):
    near: Restartable
    far: Restartable
    url: str


@pytest.fixture
def servers(redis_url: str, tmp_path: Path) -> Iterator[tuple[Restartable, Restartable]]:
    config = CONFIG.format(drain=DRAIN, url=redis_url, prefix=f"n{next(_prefixes)}", lease=LEASE, words=" ".join(WORDS))
    with ExitStack() as stack:
        found: list[Restartable] = []
        for name in ("near", "far"):
            (tmp_path / name).mkdir()
            found.append(stack.enter_context(Restartable(tmp_path / name, config)))
        yield found[0], found[1]


@pytest.fixture
async def pair(servers: tuple[Restartable, Restartable]) -> AsyncIterator[Pair]:
    near, far = servers
    async with balancer(near.url, far.url) as url:
        yield Pair(near, far, url)


async def started(url: str, model: str = "goes-on", **more: object) -> str:
    status, headers, _ = await fetch(
        f"{url}/v1/streams", "POST", {"model": model, "prompt": "x", "background": True, **more}
    )
    assert status == 202
    return headers["location"].partition("/v1/")[2]


class Followed:
    """What a reader has had of a stream, and how often it had to come back."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.text = ""
        self.end = ""
        self.reconnects = -1
        self.gaps = 0
        self._cursor = ""

    async def follow(self, url: str) -> None:
        """Reads to the end of the stream, over as many connections as it takes."""
        while not self.end:
            self.reconnects += 1
            try:
                await self._read(url)
            except (OSError, asyncio.IncompleteReadError, ValueError, IndexError):
                await asyncio.sleep(0.05)

    async def _read(self, url: str) -> None:
        headers = {"last-event-id": self._cursor} if self._cursor else {}
        async with call(url, headers=headers) as answer:
            assert answer.status in (200, 204), answer.status
            async for event in answer.events():
                self._take(event.event, event.data, event.id)

    def _take(self, kind: str, data: str, cursor: str | None) -> None:
        if kind == "gap":
            self.gaps += 1
        if kind in ("reconnect", "gap") or cursor is None:
            return
        self._cursor = cursor
        self.offsets.append(int(cursor.rpartition("-")[2]))
        if kind == "delta":
            self.text += json.loads(data)["text"]
        elif kind in ("completed", "cancelled", "failed"):
            self.end = kind


async def followed(pair: Pair, paths: list[str]) -> tuple[list[Followed], list[asyncio.Task[None]]]:
    """A reader of each stream, who has its first events, wherever the balancer has led it."""
    readings = [Followed() for _ in paths]
    following = [
        asyncio.create_task(reading.follow(f"{pair.url}/v1/{path}/events"))
        for reading, path in zip(readings, paths, strict=True)
    ]
    await eventually(lambda: all(len(reading.offsets) > 5 for reading in readings))
    return readings, following


async def test_any_server_does_what_is_asked_of_a_stream(pair: Pair) -> None:
    """Started on one, read and cancelled on the other: it ends for all, and at once."""
    path = await started(pair.near.url, "does-not")
    reading = Followed()
    following = asyncio.create_task(reading.follow(f"{pair.far.url}/v1/{path}/events"))
    await eventually(lambda: len(reading.offsets) > 3)
    status, _, answer = await fetch(f"{pair.far.url}/v1/{path}/cancel", "POST", {})
    assert (status, answer["status"]) == (200, "cancelled")
    await asyncio.wait_for(following, 5)
    assert (reading.end, reading.reconnects) == ("cancelled", 0)
    _, _, whole = await fetch(f"{pair.near.url}/v1/{path}")
    assert whole["status"] == "cancelled"


async def test_an_answer_lives_while_any_server_has_a_reader_of_its_owner(pair: Pair) -> None:
    """The grace begins when the last one has left, wherever that was."""
    path = await started(pair.near.url, "does-not", on_disconnect={"grace_seconds": 0.5})
    async with call(f"{pair.far.url}/v1/{path}/events") as far:
        await anext(far.events())
        async with call(f"{pair.near.url}/v1/{path}/events") as near:
            await anext(near.events())
        await asyncio.sleep(1.0)
        assert (await fetch(f"{pair.near.url}/v1/{path}"))[2]["status"] == "running"
    await eventually(lambda: is_over(pair.near.url, path), within=20)
    assert (await fetch(f"{pair.near.url}/v1/{path}"))[2]["status"] == "cancelled"


async def is_over(url: str, path: str) -> bool:
    return (await fetch(f"{url}/v1/{path}"))[2]["status"] not in ("queued", "running")


@pytest.mark.parametrize(("model", "end"), [("goes-on", "completed"), ("does-not", "failed")])
async def test_a_server_that_is_killed_takes_no_answer_with_it(pair: Pair, model: str, end: str) -> None:
    """Soon after the lease is over the other one goes on with the answer, or ends it."""
    paths = [await started(pair.near.url, model) for _ in range(5)]
    readings, following = await followed(pair, paths)
    pair.near.process.signal(signal.SIGKILL)
    pair.near.process.wait()
    before = [len(reading.offsets) for reading in readings]
    go_on = lambda: all(len(r.offsets) > n + 2 or r.end for r, n in zip(readings, before, strict=True))  # noqa: E731
    await eventually(go_on, within=LEASE + 20)
    await asyncio.wait_for(asyncio.gather(*following), 20)
    for reading in readings:
        assert reading.end == end
        assert reading.offsets == list(range(1, len(reading.offsets) + 1))
        assert reading.text.split() == WORDS[: len(reading.text.split())] or model == "does-not"
        assert end != "completed" or reading.text.split() == WORDS


async def test_a_rolling_restart_loses_no_token(pair: Pair) -> None:
    """Both servers are replaced one after the other: readers come back elsewhere, and notice nothing else."""
    paths = [await started(pair.url) for _ in range(30)]
    readings, following = await followed(pair, paths)
    for server in (pair.near, pair.far):
        server.process.signal()
        # It hands over at once what can go on elsewhere, and does not wait for that as long as it may.
        assert await asyncio.to_thread(server.process.wait, within=DRAIN - 1) == 0
        await asyncio.to_thread(server.start)
    await asyncio.wait_for(asyncio.gather(*following), 30)
    for reading in readings:
        assert (reading.end, reading.gaps) == ("completed", 0)
        assert reading.offsets == list(range(1, 103))
        assert reading.text.split() == WORDS
    assert any(reading.reconnects > 1 for reading in readings)


async def test_a_producer_that_comes_to_another_server_keeps_its_readers(pair: Pair) -> None:
    """Who reads at the server that it has left goes on there."""
    _, headers, opened = await fetch(f"{pair.near.url}/v1/streams", "POST", {"producer": "client"})
    path = headers["location"].partition("/v1/")[2]
    reading = Followed()
    following = asyncio.create_task(reading.follow(f"{pair.near.url}/v1/{path}/events"))
    tail = 1
    for number, url in enumerate([pair.near.url, pair.far.url, pair.near.url, pair.far.url]):
        events = [{"type": "delta", "data": {"text": f"w{number} "}}]
        body = {"lease": opened["lease"]["token"], "expected_offset": tail, "events": events}
        status, _, answer = await fetch(f"{url}/v1/{path}/append", "POST", body)
        assert status == 200, answer
        tail += 1
        await eventually(lambda wanted=tail: reading.offsets[-1:] == [wanted])
    assert reading.text == "w0 w1 w2 w3 "
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
