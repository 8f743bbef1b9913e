"""Real servers that send to the real stack: one chat as one trace, and alerts whose cause is made to happen.

The tests build on each other: what the first ones do is the load that the last ones look for.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from eventually_kit import eventually
from port_kit import free_port
from redis_kit import DURABLE, RedisServer
from stack_kit import ARRIVES_SECONDS, Span, Stack
from telemetry_kit import Query, alert_queries, filled, operands, panel_queries

from tidegate.testing.process import Process, running

pytestmark = pytest.mark.anyio

FAR = """
[[models]]
name = "far"
provider = "replay"
tokens = 60
rate = 200.0
"""

FRONT = """
[store]
url = "{store}"
patience_seconds = 2

[limits]
requests_per_minute = 0
readers_per_principal = 0

[[models]]
name = "far"
provider = "openai"
base_url = "{far}/v1"

[[models]]
name = "dead"
provider = "openai"
base_url = "http://127.0.0.1:{dead}/v1"
connect_timeout = 1.0

[[models]]
name = "busy"
provider = "replay"
tokens = 100000
rate = 5.0
max_concurrency = 1
max_queue = 1

# Some 12 MB in some seconds: more than the kernel keeps for a client that does not read.
[[models]]
name = "flood"
provider = "replay"
text = "{word} "
tokens = 12000
rate = 2000.0
"""

SHORT = """
[server]
drain_seconds = 1

[[models]]
name = "slow"
provider = "replay"
tokens = 1000
rate = 5.0
"""

MAY_BE_EMPTY = {"TelemetryLost"}
"""The Collector counts what it has lost when it has lost it: after five minutes."""

DEAF_READERS = 8


@dataclass
class Served:
    """A server, `url`, whose upstream `far` is another one; both tell the stack what they do, as `environ` has it."""

    stack: Stack
    environ: Mapping[str, str]
    url: str
    far: str
    redis: RedisServer

    async def chat(self, model: str, trace: str) -> str:
        """One streamed chat within a trace of the caller's; the stream's id. Raises `AssertionError`."""
        body = {"model": model, "messages": [{"role": "user", "content": "q"}], "stream": True}
        headers = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.post(f"{self.url}/v1/chat/completions", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        assert answer.text.rstrip().endswith("data: [DONE]")
        return answer.headers["tidegate-stream"]

    async def fire(self, *alerts: str) -> None:
        """Waits until all of these fire."""
        for alert in alerts:
            await eventually(lambda alert=alert: self.stack.fires(alert), within=ARRIVES_SECONDS)

    async def silent(self, *alerts: str) -> bool:
        return not any([await self.stack.fires(alert) for alert in alerts])

    async def start(self, model: str, **more: object) -> httpx.Response:
        async with httpx.AsyncClient(timeout=60) as client:
            return await client.post(f"{self.url}/v1/streams", json={"model": model, "prompt": "q", **more})

    async def cancel(self, stream: str) -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            await client.post(f"{self.url}/v1/streams/{stream}/cancel", json={})


@pytest.fixture(scope="module")
async def served(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    redis = RedisServer(folder / "redis", DURABLE)
    environ = {
        "TIDEGATE_OBSERVABILITY__OTLP_ENDPOINT": stack.otlp,
        "TIDEGATE_OBSERVABILITY__LOG_LEVEL": "debug",
        "NO_PROXY": "127.0.0.1",
    }
    with ExitStack() as processes:
        redis.start()
        processes.callback(redis.kill)
        far = processes.enter_context(_server(folder / "far", FAR, environ))
        config = FRONT.format(store=redis.url, far=far.url, dead=free_port(), word="x" * 1000)
        front = processes.enter_context(_server(folder / "front", config, environ))
        yield Served(stack, environ, front.url, far.url, redis)


@contextmanager
def _server(folder: Path, config: str, environ: Mapping[str, str]) -> Iterator[Process]:
    folder.mkdir()
    (folder / "tidegate.toml").write_text(config)
    with running("--config", "tidegate.toml", environ=environ, cwd=folder) as process:
        assert process.ready, process.stderr()
        yield process


async def test_one_chat_is_one_trace(served: Served) -> None:
    """The caller's trace has the request, the generation below it, the attempt below that, and the upstream's request.

    Each is the child of the one before. Neither prompt nor answer is in it.
    """
    trace = secrets.token_hex(16)
    stream = await served.chat("far", trace)
    at = served.far.removeprefix("http://")
    request, chat, attempt = "POST /v1/chat/completions", "chat far", f"attempt {at}"

    async def whole() -> list[Span]:
        spans = await served.stack.trace(trace)
        names = [span.name for span in spans]
        return spans if {chat, attempt} <= set(names) and names.count(request) == 2 else []

    await eventually(whole, within=ARRIVES_SECONDS)
    spans = await whole()
    by_id = {span.id: span for span in spans}

    def path(span: Span) -> list[str]:
        above = by_id.get(span.parent or "")
        return [*(path(above) if above else []), span.name]

    # The upstream is a tidegate, too, and has a generation of its own.
    longest = max((path(span) for span in spans), key=len)
    assert longest == [request, chat, attempt, request, chat]
    ours = next(span for span in spans if path(span) == [request, chat])
    assert ours.tags["tidegate.stream"] == stream
    assert ours.tags["gen_ai.operation.name"] == "chat"
    assert ours.tags["gen_ai.provider.name"]
    assert ours.tags["gen_ai.request.model"] == "far"
    assert ours.tags["tidegate.status"] == "completed"
    assert int(ours.tags["gen_ai.usage.output_tokens"]) > 0
    tried = next(span for span in spans if path(span) == [request, chat, attempt])
    assert tried.tags["tidegate.outcome"] == "answered"
    assert f"{tried.tags['server.address']}:{tried.tags['server.port']}" == at
    assert trace in await served.stack.traces({"tidegate.stream": stream})


async def test_the_logs_of_a_chat_have_its_trace(served: Served) -> None:
    """A record of the stream has the stream's id, the trace and a span of it; it is handed on to Loki, too."""
    trace = secrets.token_hex(16)
    stream = await served.chat("far", trace)

    def ended() -> list[dict[str, Any]]:
        return [
            each for each in served.stack.logs if each.get("stream") == stream and each["body"] == "generation ended"
        ]

    await eventually(ended, within=ARRIVES_SECONDS)
    (record,) = ended()
    assert record["trace_id"] == trace

    async def found() -> bool:
        return record["span_id"] in {span.id for span in await served.stack.trace(trace)}

    await eventually(found, within=ARRIVES_SECONDS)
    assert {"/otlp/v1/logs"} == {path for path, _ in served.stack.loki}


async def test_a_slow_first_token_leads_to_its_trace(served: Served) -> None:
    """An exemplar of the time to the first token has the id of a trace that Jaeger knows."""
    trace = secrets.token_hex(16)
    await served.chat("far", trace)

    async def led() -> bool:
        exemplars = await served.stack.exemplars("tidegate_time_to_first_token_seconds_bucket")
        return any(
            [await served.stack.trace(each["labels"]["trace_id"]) for each in exemplars if "trace_id" in each["labels"]]
        )

    await eventually(led, within=ARRIVES_SECONDS)


async def test_a_full_queue_is_told(served: Served) -> None:
    """QueueFull fires when a caller is refused, GenerationsQueued while one waits."""
    alerts = ("QueueFull", "GenerationsQueued")
    assert await served.silent(*alerts)
    answers = [await served.start("busy", background=True) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 503]
    await served.fire(*alerts)
    for answer in answers[:2]:
        await served.cancel(answer.json()["id"])


async def test_a_dead_upstream_is_told(served: Served) -> None:
    """UpstreamFailing, NoUpstreamAnswers and GenerationsFailing fire for it, and RequestsFailing for who asked."""
    alerts = ("UpstreamFailing", "NoUpstreamAnswers", "GenerationsFailing", "RequestsFailing")
    assert await served.silent(*alerts)
    for _ in range(8):
        assert (await served.start("dead")).status_code >= 500
    await served.fire(*alerts)


async def test_readers_that_fall_behind_are_told(served: Served) -> None:
    """ReadersBehind fires while clients take nothing of what is written."""
    assert await served.silent("ReadersBehind")
    answer = await served.start("flood", background=True)
    path = answer.headers["location"]
    async with _deaf_readers(served.url, f"{path.removeprefix(served.url)}/events", DEAF_READERS):
        await served.fire("ReadersBehind")


@asynccontextmanager
async def _deaf_readers(url: str, path: str, count: int) -> AsyncIterator[None]:
    host, port = url.removeprefix("http://").split(":")
    async with AsyncExitStack() as stack:
        for _ in range(count):
            sock = socket.socket()
            stack.callback(sock.close)
            # Before it connects: the window is agreed on then.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(sock, (host, int(port)))
            await loop.sock_sendall(sock, f"GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        yield


async def test_an_interrupted_answer_is_told(served: Served, tmp_path: Path) -> None:
    """GenerationsInterrupted fires for an answer that outlasts its node's drain: the node's last word arrives."""
    assert await served.silent("GenerationsInterrupted")
    with _server(tmp_path / "short", SHORT, served.environ) as node:
        async with httpx.AsyncClient() as client:
            body = {"model": "slow", "prompt": "q", "background": True}
            assert (await client.post(f"{node.url}/v1/streams", json=body)).status_code == 202
        node.signal()
        node.wait()
    await served.fire("GenerationsInterrupted")


async def test_a_store_that_is_away_is_told(served: Served) -> None:
    """StoreUnavailable fires while it is away, and after it has come back for the answers that have ended by that."""
    assert await served.silent("StoreUnavailable")
    assert (await served.start("busy", background=True)).status_code == 202
    served.redis.kill()

    async def asked() -> bool:
        assert (await served.start("far")).status_code == 503
        return await served.stack.fires("StoreUnavailable")

    await eventually(asked, within=2 * ARRIVES_SECONDS)
    served.redis.start()
    ended = 'tidegate_generations_total{code="store_unavailable"} > 0'

    async def told() -> bool:
        return bool(await served.stack.query(ended)) and await served.stack.fires("StoreUnavailable")

    await eventually(told, within=ARRIVES_SECONDS)


@pytest.mark.parametrize("query", list(panel_queries()), ids=lambda query: f"{query.where}: {query.text}")
async def test_no_panel_is_empty_under_load(served: Served, load: None, query: Query) -> None:
    """Every query of a dashboard has an answer from a Prometheus that has scraped a server under load."""
    await eventually(lambda: served.stack.query(filled(query.text)), within=ARRIVES_SECONDS)


@pytest.mark.parametrize("query", list(alert_queries()), ids=lambda query: query.where)
async def test_no_alert_is_blind_under_load(served: Served, load: None, query: Query) -> None:
    """Each operand of an alert's expression has a value, so that it can fire."""
    for operand in operands(query.text):
        if query.where not in MAY_BE_EMPTY:
            await eventually(lambda operand=operand: served.stack.query(operand), within=ARRIVES_SECONDS)


@pytest.fixture(scope="module")
async def load(served: Served) -> AsyncIterator[None]:
    """Callers who ask again and again, for as long as the tests look."""

    async def ask() -> None:
        while True:
            await served.chat("far", secrets.token_hex(16))
            await served.start("dead")

    callers = [asyncio.create_task(ask()) for _ in range(4)]
    yield
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
