from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from eventually_kit import eventually
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from routes_kit import client_of, code_of

from tidegate import Tidegate
from tidegate.config import AuthSettings, ObservabilitySettings, Settings, StoreSettings
from tidegate.core.principal import Scope
from tidegate.gate.api_keys import ApiKey, key_sha256
from tidegate.observe.metrics.series import Series
from tidegate.observe.metrics.table import METRICS

pytestmark = pytest.mark.anyio

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


def key(name: str, *scopes: Scope) -> ApiKey:
    return ApiKey(name=name, sha256=key_sha256(f"tg_{name}"), scopes=scopes)


KEYS = (key("reader", "generate", "read", "cancel"), key("scraper", "metrics"), key("root", "admin"))
SETTINGS = Settings(store=StoreSettings(url="memory://"), models=())
WITH_KEYS = Settings(store=StoreSettings(url="memory://"), models=(), auth=AuthSettings(keys=KEYS))


@asynccontextmanager
async def client_at(address: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client at this address, of an application with keys."""
    app = Tidegate(WITH_KEYS)
    transport = httpx.ASGITransport(app, client=(address, 40000))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
    await app.close()


def values(answer: httpx.Response) -> dict[str, float]:
    """What the text shows, by the names and labels of its samples."""
    parse = parse_openmetrics if "openmetrics" in answer.headers["content-type"] else parse_text
    return {
        " ".join([sample.name.removeprefix("tidegate_"), *sorted(map("=".join, sample.labels.items()))]): sample.value
        for family in parse(answer.text)
        for sample in family.samples
    }


async def test_the_metrics_are_text_that_anybody_can_read() -> None:
    """Of each metric at least its name and what it says are there."""
    async with client_of(Tidegate(SETTINGS)) as client:
        answer = await client.get("/metrics")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    names = {f"{each.name}_total" if each.type == "counter" else each.name for each in parse_text(answer.text)}
    assert names == {metric.name for metric in METRICS}


async def test_a_scraper_that_asks_for_openmetrics_has_it() -> None:
    """Only there are exemplars."""
    async with client_of(Tidegate(SETTINGS)) as client:
        answer = await client.get("/metrics", headers={"accept": OPENMETRICS})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(OPENMETRICS)
    assert list(parse_openmetrics(answer.text))


async def test_what_happens_is_seen_in_the_next_scrape() -> None:
    """A generation with its tokens, the requests by their routes, and the trace of one that is sampled."""

    async def model(_: object) -> AsyncIterator[str]:
        yield "Well, "
        yield "then."

    app = Tidegate(SETTINGS, models={"m": model})
    async with client_of(app) as client:
        before = values(await client.get("/metrics"))
        assert before["generations_total code= model=m status=completed"] == 0
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        sampled = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        started = await client.post("/v1/streams", json={"model": "m", "prompt": "x"}, headers=sampled)
        assert started.status_code == 200
        ended = app.meter.counter("tidegate_generations_total", "m", "completed", "")
        await eventually(lambda: ended.value)
        assert (await client.get("/a/path/that/is/nowhere")).status_code == 404
        answer = await client.get("/metrics", headers={"accept": OPENMETRICS})
    after = values(answer)
    assert after["generations_total code= model=m status=completed"] == 1
    assert after["tokens_total kind=completion model=m"] == 2
    assert after["time_to_first_token_seconds_count model=m"] == 1
    assert after["inter_token_seconds_count model=m"] == 1
    assert after["store_append_seconds_count store=memory"] >= 1
    assert after["request_seconds_count route=/v1/streams status=200"] == 1
    assert after["request_seconds_count route=none status=404"] == 1
    assert after["request_seconds_count route=/metrics status=200"] == 1
    assert f'trace_id="{trace}"' in answer.text
    assert "nowhere" not in answer.text


async def test_a_scrape_shows_what_all_processes_have() -> None:
    """Where several workers share a port, whoever of them answers asks the others, too."""
    app = Tidegate(SETTINGS)

    async def of_all() -> list[Series]:
        return [Series("tidegate_gaps_total", (), 42)]

    app.scrape = of_all
    async with client_of(app) as client:
        assert values(await client.get("/metrics")) == {"gaps_total": 42}


async def test_a_server_may_show_no_metrics() -> None:
    """`observability.metrics = false`: to nobody."""
    settings = Settings(
        store=StoreSettings(url="memory://"), models=(), observability=ObservabilitySettings(metrics=False)
    )
    async with client_of(Tidegate(settings)) as client:
        assert code_of(await client.get("/metrics")) == (404, "not_found")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.0.9", "::1"])
async def test_a_scraper_on_this_machine_needs_no_key(address: str) -> None:
    """A sidecar can be set up without a secret. This is so for nothing else that the server has."""
    async with client_at(address) as client:
        assert (await client.get("/metrics")).status_code == 200
        assert code_of(await client.get("/v1/models")) == (401, "invalid_credentials")
        assert code_of(await client.get("/v1/admin/streams")) == (401, "invalid_credentials")


@pytest.mark.parametrize("address", ["192.0.2.7", "10.0.0.1", "2001:db8::1", "0.0.0.0", "localhost", ""])
async def test_a_scraper_elsewhere_needs_a_key(address: str) -> None:
    """Also one in the same network, and one whose address is none."""
    async with client_at(address) as client:
        assert code_of(await client.get("/metrics")) == (401, "invalid_credentials")


@pytest.mark.parametrize(
    "header", ["x-forwarded-for", "x-forwarded-proto", "X-Forwarded-Host", "forwarded", "via", "x-real-ip"]
)
async def test_what_a_proxy_on_this_machine_passes_on_needs_a_key(header: str) -> None:
    """It comes from loopback, and may be anybody's; that the header says `127.0.0.1` changes nothing."""
    async with client_at("127.0.0.1") as client:
        assert code_of(await client.get("/metrics", headers={header: "127.0.0.1"})) == (401, "invalid_credentials")


@pytest.mark.parametrize(("name", "status"), [("reader", 403), ("scraper", 200), ("root", 200), ("nobody", 401)])
async def test_a_key_needs_the_scope(name: str, status: int) -> None:
    """`metrics`, or `admin`, which includes it; whoever may only have answers learns nothing of the others'."""
    async with client_at("192.0.2.7") as client:
        answer = await client.get("/metrics", headers={"authorization": f"Bearer tg_{name}"})
    assert answer.status_code == status
    assert ("tidegate_" in answer.text) == (status == 200)


async def test_the_scope_of_metrics_opens_nothing_else() -> None:
    """A scraper's key that is lost shows no answers."""
    async with client_at("192.0.2.7") as client:
        client.headers["authorization"] = "Bearer tg_scraper"
        for path in ("/v1/streams", "/v1/admin/streams"):
            assert code_of(await client.get(path)) == (403, "missing_scope")
