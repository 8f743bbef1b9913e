"""What `/metrics` of real servers shows after a load of 200 streams, of one process, of two workers, of two nodes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, suppress
from itertools import count, pairwise
from pathlib import Path

import pytest
from api_kit import Answer, call, fetch
from balancer_kit import balancer
from eventually_kit import eventually
from metrics_kit import Load, Scrape, Upstreams, differences, scraped, together, upstreams
from restart_kit import Restartable
from test_workers import workers_of

from tidegate.testing.process import Process, running

pytestmark = pytest.mark.anyio

STORE = '[store]\nurl = "{url}"\nprefix = "m{number}"\nlease_seconds = 1\n'

BACKGROUND = 6

_numbers = count()


@pytest.fixture
async def behind() -> AsyncIterator[Upstreams]:
    async with upstreams() as found:
        yield found


async def settled(urls: list[str], load: Load, behind: Upstreams) -> Scrape:
    """The sum of what these servers show, once it is what the load did."""
    shown = [await scraped(url) for url in urls]

    async def agree() -> bool:
        shown[:] = [await scraped(url) for url in urls]
        return not differences(together(shown), load, behind)

    try:
        await eventually(agree)
    except AssertionError:
        assert differences(together(shown), load, behind) == {}
    return together(shown)


def check_the_rest(shown: Scrape, load: Load) -> None:
    """What cannot be known exactly beforehand, but not to be more, or less, than something that can."""
    # Tokens that come together have no time between them, and on a busy machine many do.
    between = shown.by("tidegate_inter_token_seconds_count", "model")
    for key, first in load.firsts.items():
        assert between.get(key, 0) <= load.tokens[(*key, "completion")] - first, key
    assert sum(between.values()) > 0
    outcomes = shown.by("tidegate_upstream_attempts_total", "model", "outcome")
    assert {outcome for model, outcome in outcomes if model == "good"} == {"answered"}
    assert {outcome for model, outcome in outcomes if model != "good"} == {"failed"}
    assert shown.sum("tidegate_saved_bytes_total") > 0
    delivered = shown.by("tidegate_append_to_socket_seconds_count", "transport")
    assert delivered.keys() == {("sse",), ("websocket",)}
    assert shown.sum("tidegate_store_append_seconds_count") > 0
    assert shown.sum("tidegate_gaps_total") == 0


def beyond_scrapes(shown: Scrape) -> dict[object, float]:
    """All samples but those that scraping itself changes."""
    return {key: value for key, value in shown.samples.items() if ("route", "/metrics") not in key[1]}


async def test_every_figure_is_what_the_load_did(tmp_path: Path, behind: Upstreams) -> None:
    """Generations, tokens, requests, resumes, attempts, refusals; and when all have gone, the gauges are at 0.

    The classic format and OpenMetrics show the same.
    """
    (tmp_path / "tidegate.toml").write_text(behind.config() + '[store]\nurl = "memory://"\n')
    with running("--config", "tidegate.toml", cwd=tmp_path) as server:
        load = Load(server.url)
        await load.run()
        shown = await settled([server.url], load, behind)
        check_the_rest(shown, load)
        other = await scraped(server.url, openmetrics=True)
        assert beyond_scrapes(other) == beyond_scrapes(shown)
        assert shown.by("tidegate_request_seconds_count", "route")[("/metrics",)] >= 1


async def test_gauges_show_what_is_there(tmp_path: Path, behind: Upstreams) -> None:
    """Streams that are filled, readers and connections by transport; and nothing afterwards."""
    (tmp_path / "tidegate.toml").write_text(behind.config() + '[store]\nurl = "memory://"\n')
    with running("--config", "tidegate.toml", cwd=tmp_path) as server:
        async with AsyncExitStack() as stack:
            asked = {"model": "slow", "prompt": "x", "stream": True, "on_disconnect": "cancel"}
            first, *_ = [
                await stack.enter_async_context(call(f"{server.url}/v1/streams", "POST", asked)) for _ in range(3)
            ]
            path = f"{server.url}/v1/streams/{first.headers['tidegate-stream']}/events"
            await stack.enter_async_context(call(path))

            async def shows_it() -> bool:
                shown = await scraped(server.url)
                readers, streams = shown.by("tidegate_readers", "transport"), shown.sum("tidegate_streams_live")
                connections = shown.by("tidegate_connections", "transport", "state")
                return (streams, readers, connections) == (3, {("sse",): 4}, {("sse", "active"): 4})

            await eventually(shows_it)

        async def shows_nothing() -> bool:
            return not (await scraped(server.url)).gauges()

        await eventually(shows_nothing)


async def test_one_worker_answers_for_all_and_a_death_takes_nothing_away(
    redis_url: str, tmp_path: Path, behind: Upstreams
) -> None:
    """Whichever is scraped. What one that was killed has counted still counts, and what it had open does not."""
    config = behind.config() + STORE.format(url=redis_url, number=next(_numbers))
    (tmp_path / "tidegate.toml").write_text(config)
    with running("--config", "tidegate.toml", "--workers", "2", cwd=tmp_path) as server:
        load = Load(server.url)
        await load.run()
        shown = await settled([server.url], load, behind)
        check_the_rest(shown, load)
        for number in range(10):
            again = await scraped(server.url, openmetrics=bool(number % 2))
            assert beyond_scrapes(again) == beyond_scrapes(shown)
        await check_a_death(server)


async def check_a_death(server: Process) -> None:
    async with AsyncExitStack() as stack:
        readers = await both_are_busy(server, stack)

        async def shows_all() -> bool:
            known[:] = [await scraped(server.url)]
            return known[0].by("tidegate_readers", "transport") == {("sse",): len(readers)}

        known: list[Scrape] = []
        await eventually(shows_all)
        assert (known[0].sum("tidegate_topics"), known[0].sum("tidegate_streams_live")) == (2, BACKGROUND)
        os.kill(workers_of(server)[0], signal.SIGKILL)

        async def is_there_again() -> bool:
            # A connection may be one that the dead worker had taken.
            with suppress(OSError, EOFError, IndexError):
                known.append(await scraped(server.url))
            return "worker 0 is there again" in server.stderr()

        await eventually(is_there_again, within=20)

        async def shows_the_living() -> bool:
            known.append(await scraped(server.url))
            left = sum(not reader.done() for reader in readers)
            running = (await fetch(f"{server.url}/v1/streams?status=running"))[2]["data"]
            assert 0 < left < len(readers)
            shown = known[-1].sum("tidegate_readers"), known[-1].sum("tidegate_streams_live")
            return shown == (left, len(running)) and known[-1].sum("tidegate_topics") == 1

        await eventually(shows_the_living)
    for before, after in pairwise(known):
        now = after.rising()
        fallen = {key: (value, now.get(key)) for key, value in before.rising().items() if now.get(key, -1) < value}
        assert fallen == {}

    async def has_no_readers() -> bool:
        return not (await scraped(server.url)).sum("tidegate_readers")

    await eventually(has_no_readers)


async def both_are_busy(server: Process, stack: AsyncExitStack) -> list[asyncio.Task[None]]:
    """Both workers fill streams and have readers, each of which is read to its end."""
    body = {"model": "slow", "prompt": "x", "background": True}
    for _ in range(BACKGROUND):
        assert (await fetch(f"{server.url}/v1/streams", "POST", body))[0] == 202
    readers: list[asyncio.Task[None]] = []

    async def are() -> bool:
        answer = await stack.enter_async_context(call(f"{server.url}/v1/topics/room/events"))
        readers.append(asyncio.create_task(read(answer)))
        at = (await fetch(f"{server.url}/v1/admin/connections"))[2]["data"]
        return len({each["node"] for each in at}) == 2

    await eventually(are)
    return readers


async def read(answer: Answer) -> None:
    with suppress(OSError, EOFError):
        async for _ in answer.chunks():
            pass


async def test_the_sum_over_nodes_is_what_the_load_did(redis_url: str, tmp_path: Path, behind: Upstreams) -> None:
    """Each node shows its own part: a stream that is begun here and read there counts once."""
    config = behind.config() + STORE.format(url=redis_url, number=next(_numbers))
    with ExitStack() as stack:
        nodes: list[Restartable] = []
        for name in ("near", "far"):
            (tmp_path / name).mkdir()
            nodes.append(stack.enter_context(Restartable(tmp_path / name, config)))
        urls = [node.url for node in nodes]
        async with balancer(*urls) as url:
            load = Load(url)
            await load.run()
            check_the_rest(await settled(urls, load, behind), load)
        for each in urls:
            assert (await scraped(each)).sum("tidegate_generations_total") < load.ended.total()
