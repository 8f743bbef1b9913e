"""What a real server sends to an OpenTelemetry Collector, and what it does when that Collector is in trouble."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import test_canaries
from api_kit import call, fetch
from collector_kit import Collector, Mood, collecting
from eventually_kit import eventually
from metrics_kit import OPENMETRICS, scraped
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from restart_kit import Restartable

from tidegate.observe.otel.telemetry import BATCH, MOST_WAITING
from tidegate.testing.process import Process, running
from tidegate.testing.upstream import FakeUpstream, Reply, chat

pytestmark = pytest.mark.anyio

planted = test_canaries.planted

CLIENT_TRACE, CLIENT_SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

IN_TROUBLE: tuple[Mood, ...] = ("away", "out of order", "silent")

PIPELINED = 4

MOST_DELAY = 4.0
"""Seconds: less than the exporters wait for a Collector, and much more than a busy machine makes of a token's 25 ms."""

END_SECONDS = 20.0
"""What a server that was told to stop may still take, once it has nothing to serve."""

CONFIG = """
store = {{url = "memory://"}}
limits = {{requests_per_minute = 0}}
observability = {{otlp_endpoint = "{collector}", log_format = "json"}}
models = [
  {{name = "says", provider = "replay", tokens = 30, rate = 40}},
  {{name = "good", provider = "openai", base_url = "{upstream}"}},
]
"""


@pytest.fixture
async def upstream() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream(chat("one ", "two ", "three")) as found:
        yield found


@contextmanager
def sending(folder: Path, collector: Collector, upstream: str = "http://127.0.0.1:1/v1") -> Iterator[Process]:
    """A server that sends to this collector."""
    (folder / "tidegate.toml").write_text(CONFIG.format(collector=collector.url, upstream=upstream))
    with running("--config", "tidegate.toml", cwd=folder) as server:
        assert server.ready, server.stderr()
        yield server


async def chatted(url: str, headers: dict[str, str] | None = None) -> str:
    """Asks for an answer by OpenAI's API, and returns the request's id."""
    body = {"model": "good", "messages": [{"role": "user", "content": "x"}]}
    status, given, said = await fetch(f"{url}/v1/chat/completions", "POST", body, headers)
    assert status == 200, said
    return given["x-request-id"]


async def storm(url: str, count: int, *, connections: int = 8) -> None:
    """So many requests that succeed, each of which is a span and a line of the log."""
    parts = urlsplit(url)
    request = f"GET /v1/models HTTP/1.1\r\nhost: {parts.netloc}\r\n\r\n".encode()

    async def ask(times: int) -> None:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            for _ in range(times // PIPELINED):
                writer.write(request * PIPELINED)
                for _ in range(PIPELINED):
                    head = await reader.readuntil(b"\r\n\r\n")
                    assert head.startswith(b"HTTP/1.1 200"), head
                    await reader.readexactly(int(head.lower().partition(b"content-length:")[2].split()[0]))
        finally:
            writer.close()
            await writer.wait_closed()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        assert count % (connections * PIPELINED) == 0
        for _ in range(connections):
            group.create_task(ask(count // connections))


async def end(server: Process) -> float:
    """Tells the server to stop, and returns how many seconds that took. It exits with 0."""
    began = time.monotonic()
    server.signal()
    code = await asyncio.to_thread(server.wait, within=20)
    assert code == 0, server.stderr()
    return time.monotonic() - began


def complaints(server: Process) -> Counter[str]:
    """How many lines each of OpenTelemetry's loggers has written."""
    lines = [json.loads(line) for line in server.stderr().splitlines() if '"logger": "opentelemetry' in line]
    return Counter(line["logger"] for line in lines)


async def test_one_chat_is_one_trace(tmp_path: Path, upstream: FakeUpstream) -> None:
    """The request, below it the generation, below that the attempt, whose span id the upstream gets as its parent."""
    with collecting() as collector, sending(tmp_path, collector, upstream.url) as server:
        id = await chatted(server.url)
        await end(server)
        assert len(collector.spans) == 3
        spans = {span.kind: span for span in collector.spans}
        request, generation, attempt = spans["server"], spans["internal"], spans["client"]
        address = urlsplit(upstream.url).netloc
        assert (request.name, generation.name) == ("POST /v1/chat/completions", "chat good")
        assert attempt.name == f"attempt {address}"
        assert {span.trace for span in spans.values()} == {request.trace}
        assert (request.parent, generation.parent, attempt.parent) == ("", request.id, generation.id)
        assert upstream.requests[0].headers["traceparent"] == f"00-{request.trace}-{attempt.id}-01"
        assert not any(span.error for span in spans.values())
        assert request.seconds >= attempt.seconds > 0
        assert request.attributes["tidegate.request_id"] == id
        assert request.attributes["http.response.status_code"] == 200
        assert generation.attributes["gen_ai.usage.output_tokens"] == 3
        assert generation.attributes["gen_ai.usage.input_tokens"] == 7
        assert generation.attributes["gen_ai.response.finish_reasons"] == ["stop"]
        assert (attempt.attributes["server.address"], attempt.attributes["server.port"]) == (
            urlsplit(upstream.url).hostname,
            urlsplit(upstream.url).port,
        )


async def test_a_failure_is_seen_in_all_of_its_trace(tmp_path: Path) -> None:
    """The request, the generation and each attempt at the upstream are in error, with its code."""
    async with FakeUpstream([Reply(500, {"error": {"message": "no"}})]) as upstream:
        with collecting() as collector, sending(tmp_path, collector, upstream.url) as server:
            body = {"model": "good", "messages": [{"role": "user", "content": "x"}]}
            status, _, said = await fetch(f"{server.url}/v1/chat/completions", "POST", body)
            assert status == 502
            await end(server)
            spans = collector.spans
            assert {span.kind for span in spans} == {"server", "internal", "client"}
            assert all(span.error for span in spans)
            codes = {span.kind: span.attributes.get("error.type") for span in spans}
            assert codes == dict.fromkeys(codes, said["error"]["code"])
            sent = {request.headers["traceparent"].split("-")[2] for request in upstream.requests}
            assert sent == {span.id for span in spans if span.kind == "client"}


async def test_a_clients_trace_goes_on_where_it_is_sampled(tmp_path: Path, upstream: FakeUpstream) -> None:
    """The request is a child of the client's span. Of a trace that the client does not sample there is no span."""
    with collecting() as collector, sending(tmp_path, collector, upstream.url) as server:
        unsampled = CLIENT_TRACE[::-1]
        await chatted(server.url, {"traceparent": f"00-{unsampled}-{CLIENT_SPAN}-00"})
        await chatted(server.url, {"traceparent": f"00-{CLIENT_TRACE}-{CLIENT_SPAN}-01", "tracestate": "a=b"})
        assert await end(server) < END_SECONDS
        assert Counter(span.trace for span in collector.spans) == {CLIENT_TRACE: 3}
        (request,) = [span for span in collector.spans if span.kind == "server"]
        assert request.parent == CLIENT_SPAN
        first, second = (each.headers["traceparent"] for each in upstream.requests)
        assert (first[:36], first[-3:]) == (f"00-{unsampled}-", "-00")
        assert (second[:36], second[-3:]) == (f"00-{CLIENT_TRACE}-", "-01")
        assert {log.trace for log in collector.logs if log.body == "request done"} == {unsampled, CLIENT_TRACE}


async def test_a_log_record_leads_to_its_trace(tmp_path: Path, upstream: FakeUpstream) -> None:
    """It has the id of the trace, and that of the request, which its client was told, too."""
    with collecting() as collector, sending(tmp_path, collector, upstream.url) as server:
        id = await chatted(server.url)
        await end(server)
        (request,) = [span for span in collector.spans if span.kind == "server"]
        logs = {log.body: log for log in collector.logs}
        for said in ("request done", "generation ended"):
            assert (logs[said].trace, logs[said].attributes["request_id"]) == (request.trace, id)
            assert logs[said].severity == "info"
        assert logs["request done"].span == request.id
        assert logs["request done"].attributes["status"] == 200
        # What is sent is what is printed.
        printed = [json.loads(line) for line in server.stderr().splitlines()]
        (line,) = [each for each in printed if each["message"] == "request done"]
        assert (line["trace_id"], line["request_id"]) == (request.trace, id)
        names = {each["service.name"] for each in collector.resources}
        assert (names, len({each["service.instance.id"] for each in collector.resources})) == ({"tidegate"}, 1)


async def test_metrics_are_those_of_a_scrape(tmp_path: Path, upstream: FakeUpstream) -> None:
    """The same names, labels, figures and buckets: the last of them when the server stops."""
    with collecting() as collector, sending(tmp_path, collector, upstream.url) as server:
        for _ in range(3):
            await chatted(server.url)
        asked = {"model": "good", "prompt": "x", "stream": True}
        async with call(f"{server.url}/v1/streams", "POST", asked, {"accept-encoding": "gzip"}) as answer:
            assert await answer.body()

        async def is_over() -> bool:
            shown = await scraped(server.url)
            done = shown.by("tidegate_request_seconds_count", "route")
            return (done[("/v1/streams",)], shown.gauges()) == (1, {})

        await eventually(is_over)
        shown = await scraped(server.url)
        assert await end(server) < END_SECONDS
        known = {key: value for key, value in shown.samples.items() if ("route", "/metrics") not in key[1]}
        sent = {key: value for key, value in collector.samples().items() if ("route", "/metrics") not in key[1]}
        assert shown.sum("tidegate_generations_total") == 4
        assert sent.keys() == known.keys()
        assert {key: value for key, value in sent.items() if known[key] != pytest.approx(value)} == {}


async def test_an_exemplar_leads_to_a_span(tmp_path: Path, upstream: FakeUpstream) -> None:
    """Each span that a scrape names is sent: the request, its generation, and the attempt that began to answer."""
    with collecting() as collector, sending(tmp_path, collector, upstream.url) as server:
        await chatted(server.url)
        found: dict[str, set[tuple[str, str]]] = {}
        async with call(f"{server.url}/metrics", headers=OPENMETRICS) as answer:
            for family in text_string_to_metric_families((await answer.body()).decode()):
                for sample in family.samples:
                    if sample.exemplar:
                        named = sample.exemplar.labels
                        found.setdefault(family.name, set()).add((named["trace_id"], named["span_id"]))
        await end(server)
        ids = {(span.trace, span.id): span.kind for span in collector.spans}
        assert {name: {ids.get(each) for each in named} for name, named in found.items()} == {
            "tidegate_request_seconds": {"server"},
            "tidegate_generation_seconds": {"internal"},
            "tidegate_time_to_first_token_seconds": {"client"},
        }


async def test_each_worker_sends_its_own(redis_url: str, tmp_path: Path) -> None:
    """As a node with a name of its own; nothing of it is lost when both stop."""
    config = CONFIG.format(collector="{url}", upstream="http://127.0.0.1:1/v1").replace(
        'store = {url = "memory://"}', f'store = {{url = "{redis_url}", prefix = "o"}}'
    )
    with collecting() as collector:
        (tmp_path / "tidegate.toml").write_text(config.replace("{url}", collector.url))
        with running("--config", "tidegate.toml", "--workers", "2", cwd=tmp_path) as server:
            asked: list[str] = []

            async def both_were_asked() -> bool:
                asked.append((await fetch(f"{server.url}/v1/models"))[1]["x-request-id"])
                return len(asked) >= 20 and '"worker": 0' in server.stderr() and '"worker": 1' in server.stderr()

            await eventually(both_were_asked)
            assert await end(server) < END_SECONDS
        assert sorted(str(span.attributes["tidegate.request_id"]) for span in collector.spans) == sorted(asked)
        assert len({each["service.instance.id"] for each in collector.resources}) == 2
        workers = {log.attributes["worker"] for log in collector.logs if log.body == "request done"}
        assert workers == {0, 1}


async def test_no_secret_prompt_or_answer_is_sent(tmp_path: Path, planted: test_canaries.Planted) -> None:
    """Not in a span, a metric or a log record, at debug: looked for in the bytes that the Collector has received."""
    with collecting() as collector, ExitStack() as stack:
        (tmp_path / "canary_agent.py").write_text(planted.fill(test_canaries.AGENT))
        scripts = [
            [test_canaries.Raw(planted.fill(f"HTTP/1.1 {text}").encode("latin-1")), test_canaries.Close()]
            for _, text in test_canaries.UPSTREAM
        ]
        async with FakeUpstream(*scripts) as upstream:
            planted["UPSTREAM"] = upstream.url.replace("//", f"//user:{planted['upstream-password']}@")
            config = test_canaries.CONFIG.replace("max_connection_seconds = 2", "max_connection_seconds = 1")
            config += test_canaries.AUTH
            observed = f'[observability]\nlog_level = "debug"\notlp_endpoint = "{collector.url}"\n'
            server = stack.enter_context(Restartable(tmp_path, planted.fill(config + observed)))
            await test_canaries.prepare(f"{server.url}/v1/streams", planted)
            assert await test_canaries.ask_all(server.url, test_canaries.AUTH, planted) == []
            await end(server.process)
        rows = [f"row-{number:03}" for number, _ in enumerate(test_canaries.rows(test_canaries.AUTH))]
        known = {log.attributes.get("request_id") for log in collector.logs}
        # One of the rows has no head that can be read, and so no id.
        assert len(set(rows) - known) <= 1
        assert {span.kind for span in collector.spans} == {"server", "internal", "client"}
        bodies = [body for path in ("/v1/traces", "/v1/metrics") for body in collector.raw(path)]
        assert [planted.found_in(body.decode("latin-1")) for body in bodies] == [set()] * len(bodies)
        leaks: list[str] = []
        for log in collector.logs:
            # As on stderr: a model's own exception, and the chunk of an upstream that cannot be read.
            malformed = {"answer"} if b"upstream_malformed" in log.raw else set()
            may = test_canaries.LOGGED | malformed
            leaks += [f"{name} in {log}" for name in planted.found_in(log.raw.decode("latin-1")) - may]
        assert not leaks, "\n".join(leaks)


@pytest.mark.parametrize("mood", IN_TROUBLE)
async def test_a_collector_in_trouble_delays_nobody(tmp_path: Path, mood: Mood) -> None:
    """A streamed answer comes at its pace, a probe is answered at once, and the server stops in time, with 0.

    The log says what is wrong, but not again and again.
    """
    with collecting(mood) as collector, sending(tmp_path, collector) as server:
        await storm(server.url, 1024)
        slowest, came, probing = 0.0, list[float](), True

        async def probe() -> None:
            nonlocal slowest
            while probing:
                began = time.monotonic()
                assert (await fetch(f"{server.url}/healthz"))[0] == 200
                slowest = max(slowest, time.monotonic() - began)

        asking = asyncio.create_task(probe())
        asked = {"model": "says", "prompt": "x", "stream": True}
        async with call(f"{server.url}/v1/streams", "POST", asked) as answer:
            async for event in answer.events():
                if event.event == "delta":
                    came.append(time.monotonic())
        probing = False
        await asking
        assert len(came) == 30
        assert came[-1] - came[0] < 29 / 40 + MOST_DELAY
        assert max(later - sooner for sooner, later in pairwise(came)) < MOST_DELAY
        assert slowest < MOST_DELAY
        if mood != "silent":
            # Of one that is silent it is known only after some seconds.
            await eventually(lambda: complaints(server))
        assert await end(server) < END_SECONDS
        assert set(complaints(server).values()) <= {1}
        assert collector.received == []


async def test_what_waits_for_a_collector_is_bounded(tmp_path: Path) -> None:
    """Requests beyond the first few thousand take no more memory. Once it is there, it gets the latest of them."""
    with collecting("away") as collector, sending(tmp_path, collector) as server:
        await storm(server.url, MOST_WAITING + BATCH)
        before = resident(server)
        await storm(server.url, 8000)
        # Spans and log records of so many requests would be some 32 MB.
        assert resident(server) - before < 16_000_000
        last = (await fetch(f"{server.url}/v1/models"))[1]["x-request-id"]
        assert set(complaints(server).values()) == {1}
        collector.come()

        def has_the_last() -> bool:
            found = {span.attributes["tidegate.request_id"] for span in collector.spans}
            return last in found and last in {log.attributes.get("request_id") for log in collector.logs}

        await eventually(has_the_last, within=15)
        await end(server)
        # A batch that was under way when it came does not wait any more.
        for arrived in (collector.spans, collector.logs):
            assert MOST_WAITING - 2 * BATCH <= len(arrived) <= MOST_WAITING + BATCH + 20


def resident(server: Process) -> int:
    """Bytes of memory that the process has (proc(5))."""
    pages = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1])
    return pages * 4096


async def test_what_is_pending_is_sent_at_the_end(tmp_path: Path) -> None:
    """Of thousands of requests just before SIGTERM none is missing, in any of the three signals."""
    with collecting() as collector, sending(tmp_path, collector) as server:
        await storm(server.url, 3200)
        assert await end(server) < END_SECONDS
        assert len(collector.spans) == 3200
        assert sum(log.body == "request done" for log in collector.logs) == 3200
        labels = frozenset({("route", "/v1/models"), ("status", "200")})
        assert collector.samples()["tidegate_request_seconds_count", labels] == 3200
        assert complaints(server) == {}


async def test_what_is_not_configured_is_not_loaded(tmp_path: Path) -> None:
    """OpenTelemetry without an endpoint, and the Prometheus client before the first scrape: start-up is for others."""
    (tmp_path / "peek.py").write_text(
        "import sys\n\n\nasync def answer(request):\n    yield ' '.join(sorted(sys.modules))\n"
    )
    config = 'store = {url = "memory://"}\nmodels = [{name = "peek", provider = "python", target = "peek:answer"}]\n'
    (tmp_path / "tidegate.toml").write_text(config)
    with running("--config", "tidegate.toml", cwd=tmp_path) as server:

        async def loaded() -> set[str]:
            said = (await fetch(f"{server.url}/v1/streams", "POST", {"model": "peek", "prompt": "x"}))[2]["text"]
            return {name.partition(".")[0] for name in said.split()} & {
                "tidegate",
                "opentelemetry",
                "prometheus_client",
            }

        assert await loaded() == {"tidegate"}
        await scraped(server.url)
        assert await loaded() == {"tidegate", "prometheus_client"}
