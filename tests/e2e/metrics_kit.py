"""A load that keeps account of what it has done, and what `/metrics` says of it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from api_kit import Answer, call
from eventually_kit import eventually
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as classic_families
from socket_kit import CallFailed, SocketClient, socket

from tidegate.testing.upstream import FakeUpstream, Head, Reply, Reset, Tokens, chat

OPENMETRICS = {"accept": "application/openmetrics-text; version=1.0.0, text/plain; q=0.5"}

TERMINAL = ("completed", "cancelled", "failed")

AT_ONCE = 12
SOCKETS = 4
PER_SOCKET = 10

MODELS = """
[[models]]
name = "says"
provider = "replay"
tokens = 12
rate = 50
[[models]]
name = "slow"
provider = "replay"
tokens = 10000
rate = 20
[[models]]
name = "narrow"
provider = "replay"
tokens = 5
rate = 50
max_concurrency = 1
max_queue = 2
[[models]]
name = "good"
provider = "openai"
base_url = "{good}"
[[models]]
name = "bad"
provider = "openai"
base_url = "{bad}"
[[models]]
name = "torn"
provider = "openai"
base_url = "{torn}"
"""

LIMITS = """
[limits]
requests_per_minute = 0
concurrent_generations = 40
"""


class Upstreams(NamedTuple):
    """One that answers, one that refuses everybody, and one that breaks in mid-answer."""

    good: FakeUpstream
    bad: FakeUpstream
    torn: FakeUpstream

    def config(self) -> str:
        return MODELS.format(**{name: upstream.url for name, upstream in self._asdict().items()}) + LIMITS

    def attempts(self) -> dict[tuple[str, ...], int]:
        """By model, and host and port."""
        return {(name, urlsplit(each.url).netloc): len(each.requests) for name, each in self._asdict().items()}


@asynccontextmanager
async def upstreams() -> AsyncIterator[Upstreams]:
    async with (
        FakeUpstream(chat("one ", "two ", "three ", "four", delay=0.02)) as good,
        FakeUpstream([Reply(500, {"error": {"message": "no"}})]) as bad,
        FakeUpstream([Head(), Tokens(["one ", "two "], 0.02), Reset()]) as torn,
    ):
        yield Upstreams(good, bad, torn)


class Scrape:
    """The samples of one answer of `/metrics`, by name and labels."""

    def __init__(self, families: Iterator[Any]) -> None:
        self.kinds: dict[str, str] = {}
        self.samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = {}
        for family in families:
            self.kinds[family.name] = family.type
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in self.samples
                self.samples[key] = sample.value

    def by(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """The sums that are not 0, by the values of these labels."""
        found: Counter[tuple[str, ...]] = Counter()
        for (sample, given), value in self.samples.items():
            if sample == name:
                found[tuple(dict(given)[label] for label in labels)] += value
        return {key: value for key, value in found.items() if value}

    def sum(self, name: str) -> float:
        return sum(self.by(name).values())

    def rising(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """The samples that never go down: those of counters and histograms."""
        gauges = {name for name, kind in self.kinds.items() if kind == "gauge"}
        return {key: value for key, value in self.samples.items() if key[0] not in gauges}

    def gauges(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        """Those that are not 0."""
        gauges = {name for name, kind in self.kinds.items() if kind == "gauge"}
        return {key: value for key, value in self.samples.items() if key[0] in gauges and value}


async def scraped(url: str, *, openmetrics: bool = False) -> Scrape:
    """What a scrape over a connection of its own shows."""
    async with call(f"{url}/metrics", headers=OPENMETRICS if openmetrics else {}) as answer:
        text = (await answer.body()).decode()
        assert answer.status == 200, text
        kind = "application/openmetrics-text; version=1.0.0" if openmetrics else "text/plain; version=0.0.4"
        assert answer.headers["content-type"].startswith(kind)
    return Scrape((openmetrics_families if openmetrics else classic_families)(text))


def together(scrapes: list[Scrape]) -> Scrape:
    """The sum of the scrapes of several nodes."""
    found = Scrape(iter(()))
    for each in scrapes:
        found.kinds |= each.kinds
        for key, value in each.samples.items():
            found.samples[key] = found.samples.get(key, 0) + value
    return found


class Load:
    """Callers of one server, or of a balancer, and the account of what they did."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ended: Counter[tuple[str, ...]] = Counter()
        self.tokens: Counter[tuple[str, ...]] = Counter()
        self.firsts: Counter[tuple[str, ...]] = Counter()
        self.requests: Counter[tuple[str, ...]] = Counter()
        self.resumes: Counter[tuple[str, ...]] = Counter()
        self.rejections: Counter[tuple[str, ...]] = Counter()
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """200 streams of all kinds, and then some that are refused."""
        kinds: list[Callable[[], Any]] = [
            *[lambda: self.stream("says")] * 40,
            *[lambda: self.stream("says", gzip=True)] * 25,
            *[lambda: self.whole("says", 200)] * 30,
            *[lambda: self.stream("good")] * 10,
            *[lambda: self.stream("good", gzip=True)] * 5,
            *[lambda: self.whole("good", 200)] * 5,
            *[self.cancelled] * 8,
            *[self.left] * 6,
            *[lambda: self.whole("bad", 502)] * 4,
            *[lambda: self.stream("torn")] * 5,
            *[self.resumed] * 18,
            *[self.resumed_by_socket] * 4,
        ]
        assert len(kinds) + SOCKETS * PER_SOCKET == 200
        async with asyncio.TaskGroup() as group:
            for kind in kinds:
                group.create_task(self._in_turn(kind))
            for _ in range(SOCKETS):
                group.create_task(self.by_socket())
        await self.too_many()
        await self.queue_too_long()

    @asynccontextmanager
    async def ask(
        self, route: str, method: str = "GET", body: object = None, headers: Mapping[str, str] | None = None, **at: str
    ) -> AsyncIterator[Answer]:
        async with call(self.url + route.format(**at), method, body, headers) as answer:
            self.requests[route, str(answer.status)] += 1
            yield answer

    async def whole(self, model: str, status: int) -> None:
        async with self.ask("/v1/streams", "POST", {"model": model, "prompt": "x"}) as answer:
            said = await answer.json()
            assert answer.status == status, said
        code = (said.get("error") or {}).get("code", "")
        self._end(model, said["status"], code, said["usage"], had=bool(said["text"]))

    async def stream(self, model: str, *, gzip: bool = False) -> None:
        asked = {"model": model, "prompt": "x", "stream": True}
        headers = {"accept-encoding": "gzip"} if gzip else {}
        async with self.ask("/v1/streams", "POST", asked, headers) as answer:
            assert answer.headers.get("content-encoding") == ("gzip" if gzip else None)
            if not gzip:
                await self._to_the_end(model, answer)
                return
            id = answer.headers["tidegate-stream"]
            assert await answer.body()
        await self._read_again(model, id)

    async def cancelled(self) -> None:
        asked = {"model": "slow", "prompt": "x", "stream": True}
        async with self.ask("/v1/streams", "POST", asked) as answer:
            await _deltas(answer, 2)
            id = answer.headers["tidegate-stream"]
            async with self.ask("/v1/streams/{id}/cancel", "POST", {}, id=id) as told:
                assert (await told.json())["status"] == "cancelled"
            await self._to_the_end("slow", answer)

    async def left(self) -> None:
        asked = {"model": "slow", "prompt": "x", "stream": True, "on_disconnect": "cancel"}
        async with self.ask("/v1/streams", "POST", asked) as answer:
            await _deltas(answer, 2)
            id = answer.headers["tidegate-stream"]

        # A reader that came before would keep it alive.
        async def is_cancelled() -> bool:
            async with self.ask("/v1/streams/{id}", id=id) as told:
                return (await told.json())["status"] == "cancelled"

        await eventually(is_cancelled)
        await self._read_again("slow", id)

    async def _left_early(self) -> tuple[str, str]:
        """A stream whose reader left in the middle, and the last cursor that it had."""
        asked = {"model": "says", "prompt": "x", "stream": True}
        async with self.ask("/v1/streams", "POST", asked) as answer:
            last = await _deltas(answer, 3)
            return answer.headers["tidegate-stream"], last

    async def resumed(self) -> None:
        id, last = await self._left_early()
        async with self.ask("/v1/streams/{id}/events", headers={"last-event-id": last}, id=id) as rest:
            self.resumes[("sse",)] += 1
            await self._to_the_end("says", rest)

    async def resumed_by_socket(self) -> None:
        id, last = await self._left_early()
        async with self._socket() as client:
            await client.call("attach", stream=id, after=last)
            self.resumes[("websocket",)] += 1
            self._account("says", (await client.until(*TERMINAL))[-1], had=True)

    async def by_socket(self) -> None:
        """Three streams at a time, and a topic beside them."""
        async with self._socket() as client:
            await client.call("subscribe", topic="room")
            for start in range(0, PER_SOCKET, 3):
                wanted = min(3, PER_SOCKET - start)
                for _ in range(wanted):
                    await client.call("create", model="says", prompt="x")
                while wanted:
                    event = await client.event()
                    if event["type"] in TERMINAL:
                        self._account("says", event, had=True)
                        wanted -= 1
            await client.call("publish", topic="room", data=1)

    async def too_many(self) -> None:
        """Callers begin more than they may, until three were refused; then all of it is cancelled."""
        ids = await self._until_refused("slow", 429, "too_many_generations", "concurrent_generations")
        for id in ids:
            async with self.ask("/v1/streams/{id}/cancel", "POST", {}, id=id) as told:
                assert (await told.json())["status"] == "cancelled"
            await self._read_again("slow", id)

    async def queue_too_long(self) -> None:
        """More than the queue of a model holds, the last one over a WebSocket."""
        ids = await self._until_refused("narrow", 503, "queue_full", "max_queue")
        async with self._socket() as client:
            try:
                made = await client.call("create", model="narrow", prompt="x", attach=False)
            except CallFailed as refused:
                self.rejections[(refused.code.replace("queue_full", "max_queue"),)] += 1
            else:
                ids.append(made["stream"])
        for id in ids:
            await self._read_again("narrow", id)

    async def _in_turn(self, kind: Callable[[], Any]) -> None:
        async with self._turns:
            await kind()

    async def _until_refused(self, model: str, status: int, code: str, limit: str) -> list[str]:
        ids: list[str] = []
        while self.rejections[(limit,)] < 3:
            asked = {"model": model, "prompt": "x", "background": True}
            async with self.ask("/v1/streams", "POST", asked) as answer:
                said = await answer.json()
                if answer.status == 202:
                    ids.append(said["id"])
                else:
                    assert (answer.status, said["error"]["code"]) == (status, code)
                    self.rejections[(limit,)] += 1
        return ids

    async def _read_again(self, model: str, id: str) -> None:
        async with self.ask("/v1/streams/{id}/events", id=id) as answer:
            await self._to_the_end(model, answer, had=False)

    async def _to_the_end(self, model: str, answer: Answer, *, had: bool = True) -> None:
        async for event in answer.events():
            had = had or event.event == "delta"
            if event.event in TERMINAL:
                self._account(model, {"type": event.event, "data": json.loads(event.data)}, had=had)

    def _account(self, model: str, event: dict[str, Any], *, had: bool) -> None:
        data = event["data"]
        code = data["error"]["code"] if event["type"] == "failed" else data.get("by", "")
        self._end(model, event["type"], code, data["usage"], had=had)

    def _end(self, model: str, status: str, code: str, usage: dict[str, int] | None, *, had: bool) -> None:
        self.ended[model, status, code] += 1
        for kind in ("prompt", "completion"):
            self.tokens[model, kind] += (usage or {}).get(f"{kind}_tokens", 0)
        self.firsts[(model,)] += had

    @asynccontextmanager
    async def _socket(self) -> AsyncIterator[SocketClient]:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(socket(self.url))
            self.requests["/v1/ws", "101"] += 1
            yield client
            await client.connection.close()


async def _deltas(answer: Answer, count: int) -> str:
    """Reads so many pieces of text, and returns the cursor of the last one."""
    last = ""
    async for event in answer.events():
        count -= event.event == "delta"
        last = event.id or last
        if not count:
            return last
    raise AssertionError("the answer is too short")


def differences(shown: Scrape, load: Load, upstreams: Upstreams) -> dict[str, tuple[object, object]]:
    """What the scrape shows, and what the load has done, where these are not the same."""
    requests = shown.by("tidegate_request_seconds_count", "route", "status")
    firsts = shown.by("tidegate_time_to_first_token_seconds_count", "model")
    found: dict[str, tuple[object, object]] = {
        "ended": (shown.by("tidegate_generations_total", "model", "status", "code"), +load.ended),
        "durations": (shown.sum("tidegate_generation_seconds_count"), load.ended.total()),
        "tokens": (shown.by("tidegate_tokens_total", "model", "kind"), +load.tokens),
        "firsts": (firsts, +load.firsts),
        "requests": ({key: value for key, value in requests.items() if key[0] != "/metrics"}, +load.requests),
        "resumes": (shown.by("tidegate_resumes_total", "transport"), +load.resumes),
        "rejections": (shown.by("tidegate_rejections_total", "limit"), +load.rejections),
        "attempts": (shown.by("tidegate_upstream_attempts_total", "model", "upstream"), upstreams.attempts()),
        "gauges": (shown.gauges(), {}),
    }
    return {name: (shows, did) for name, (shows, did) in found.items() if shows != did}
