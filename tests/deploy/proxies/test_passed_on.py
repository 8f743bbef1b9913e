"""What nginx and Caddy pass on, to whom, and what they write down of it, as they are shipped."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from eventually_kit import eventually
from front_kit import FRONTS
from stand_in_kit import Watched, watched
from way_kit import HTTP, HTTP2, PATIENCE, Way

pytestmark = pytest.mark.anyio

SECRET = "share_" + 32 * "5e"
EVENTS = f"/v1/streams/gen_{32 * '0'}/events"

OPERATORS = [
    "/metrics",
    "/metrics/",
    "/metrics?x=1",
    "//metrics",
    "/./metrics",
    "/x/../metrics",
    "/%6detrics",
    "/x/%2e%2e/metrics",
    "/llm/metrics",
    "/llm//metrics",
    "/llm/../metrics",
    "/llm/%2e%2e/metrics",
    "http://127.0.0.1/metrics",
    "/v1/admin",
    "/v1/admin/streams",
    "/v1//admin/streams",
    "/v1/./admin/streams",
    "/v1/admin%2Fstreams",
    "/v1%2fadmin/connections",
    "/v1/%61dmin/connections",
    "/llm/v1/admin/connections",
    "/llm//v1//admin/connections",
]

HEADERS = {
    "authorization": "Bearer k",
    "last-event-id": "5k2q-13",
    "x-request-id": "of-the-client",
    "idempotency-key": "once",
    "tidegate-on-disconnect": "keep",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "origin": "https://app.example.com",
    "x-api-key": "k",
    "cookie": "tidegate_token=" + 32_000 * "k",
}


@pytest.fixture(params=list(FRONTS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def both(name: str, tmp_path: Path) -> AsyncIterator[Watched]:
    async with watched(name, tmp_path) as found:
        yield found


async def status_of(front_url: str, target: str) -> int:
    """The status for a target that is sent as it is."""
    host, port = front_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"GET {target} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n".encode())
        async with asyncio.timeout(PATIENCE):
            return int((await reader.read()).split(b" ")[1])
    finally:
        writer.close()


async def test_what_is_for_operators_is_not_passed_on(both: Watched) -> None:
    """However it is written; the answer is tidegate's for a path that is not there."""
    assert {target: await status_of(both.front.url, target) for target in OPERATORS} == dict.fromkeys(OPERATORS, 404)
    async with HTTP2.client(both.front) as client:
        answer = await client.post("/llm/v1/admin/connections/x/close")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]
    assert both.arrived == []


@pytest.mark.parametrize("way", [HTTP, HTTP2, Way(prefix="/llm")], ids=str)
async def test_a_node_sees_who_asks_and_what(both: Watched, way: Way) -> None:
    """The host and scheme that the client has called, its headers, its target as it has encoded it."""
    async with way.client(both.front) as client:
        spoofed = {**HEADERS, "x-forwarded-for": "6.6.6.6", "x-forwarded-proto": "ftp", "forwarded": "for=6.6.6.6"}
        await client.get("/v1/models/a%2Fb?after=x%20y", headers=spoofed)
    (arrived,) = both.arrived
    assert arrived.target == "/v1/models/a%2Fb?after=x%20y"
    assert arrived.headers.items() >= HEADERS.items()
    assert arrived.headers["host"] == way.base(both.front).split("/")[2]
    assert arrived.headers["x-forwarded-for"] == "127.0.0.1"
    assert arrived.headers["x-forwarded-proto"] == ("https" if way.tls else "http")
    assert arrived.headers["accept-encoding"] == "identity"


async def test_a_post_that_was_sent_is_sent_once(both: Watched) -> None:
    """A node that dies on it may have begun its work, and SDKs are told not to repeat it. A GET is repeated at the
    other node, and nobody notices."""
    both.near.drops = True
    answers: dict[str, int] = {}
    told: list[tuple[str, ...]] = []
    async with HTTP.client(both.front) as plain, HTTP2.client(both.front) as other:

        async def have_been_dropped() -> bool:
            for client in (plain, other):
                target = f"/v1/streams?{len(answers)}"
                answer = await client.post(target, json={})
                answers[target] = answer.status_code
                if answer.status_code == 503:
                    told.append(tuple(answer.headers.get(name, "") for name in ("x-should-retry", "retry-after")))
            return both.near.arrived != []

        await eventually(have_been_dropped, within=PATIENCE)
        assert Counter(each.target for each in both.arrived) == dict.fromkeys(answers, 1)
        assert Counter(answers.values())[503] == len(both.near.arrived)
        assert told == [("false", "")] * len(both.near.arrived)
        gets = await asyncio.gather(*(client.get("/v1/models") for client in (plain, other) for _ in range(8)))
    assert {answer.status_code for answer in gets} == {200}


async def test_a_node_that_is_away_is_passed_over(name: str, tmp_path: Path) -> None:
    """What could not be sent goes to the other node, a POST as well."""
    async with watched(name, tmp_path, listening=1) as one, HTTP.client(one.front) as client:
        answers = await asyncio.gather(*(client.post(f"/{n}", json={"text": 9000 * "x"}) for n in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(one.far.arrived) == 20


async def test_a_node_that_drains_gets_nothing_new(both: Watched) -> None:
    """Caddy asks each second who is ready, nginx before each request that may last."""
    both.near.ready = False
    lasting = [
        "/v1/streams",
        "/llm/v1/chat/completions",
        "/v1/streams/gen_1/events",
        "/v1/topics/lobby/events",
        "/v1/ws",
    ]
    async with HTTP.client(both.front) as client:

        async def is_passed_over() -> bool:
            both.near.arrived.clear()
            for path in lasting:
                assert (
                    await client.request("GET" if path.endswith(("events", "ws")) else "POST", path)
                ).status_code == 200
            return both.near.arrived == []

        if both.front.name == "nginx":
            assert await is_passed_over()
        await eventually(is_passed_over, within=PATIENCE)
        both.near.ready, both.far.ready = True, False
        await eventually(lambda: is_asked_again(client, both), within=PATIENCE)


async def test_where_no_node_is_ready_one_is_asked_all_the_same(both: Watched) -> None:
    """It says itself what it cannot do, as while Redis is away; readers hear it as events, for an `EventSource` gives
    up on a 503. Only for new answers Caddy says it in the nodes' place."""
    both.near.ready = both.far.ready = False
    async with HTTP.client(both.front) as client:
        if both.front.name == "nginx":
            await client.post("/v1/streams", json={})
        else:
            await eventually(lambda: both.front.log().count("out of tolerances") >= 4, within=PATIENCE)
        reads = (client.get(path) for path in ("/v1/models", "/llm/healthz", "/", EVENTS, f"/llm{EVENTS}"))
        new, *answers = await asyncio.gather(client.post("/v1/streams", json={"prompt": 100_000 * "x"}), *reads)
    assert {answer.status_code for answer in answers} == {200}
    assert both.front.name != "nginx" or new.status_code == 200
    assert both.front.name != "caddy" or (new.status_code, new.headers["retry-after"]) == (503, "2")


async def test_a_probe_without_an_answer_takes_no_node_away(both: Watched) -> None:
    """Whoever asks to be left unanswered costs nobody else a node."""
    both.near.drops = both.far.drops = True
    async with HTTP.client(both.front) as client:
        for path in ("/v1/probe", "/llm/v1/probe", "/v1/probe", "/llm/v1/probe"):
            assert (await client.post(path, json={"drop": "x"})).status_code == 503
        assert len(both.arrived) == 4
        both.near.drops = both.far.drops = False
        answers = await asyncio.gather(*(client.post("/v1/streams", json={}) for _ in range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert [node.arrived[2:] != [] for node in both[1:]] == [True, True]


async def is_asked_again(client: httpx.AsyncClient, both: Watched) -> bool:
    answers = [await client.post("/v1/streams", json={}), await client.get("/llm/readyz")]
    return both.near.arrived != [] and {answer.status_code for answer in answers} == {200}


def secrets() -> list[str]:
    """Paths that have one where clients put them, or where nobody should."""
    broken = [f"/a%0Ab/s/{SECRET}", f"/a%0Ab/{SECRET}"]
    below = [f"{EVENTS}?access_token={SECRET}", f"/s/{SECRET}", f"//%73/{SECRET}", f"/x/{SECRET}", *broken]
    return [*below, *(f"/llm{path}" for path in below)]


async def ask_with_secrets(both: Watched) -> None:
    headers = dict.fromkeys(("authorization", "cookie", "x-api-key", "sec-websocket-protocol", "referer"), SECRET)
    async with HTTP.client(both.front) as plain, HTTP2.client(both.front) as other:
        clients = (plain, other)
        gets = [client.get(path, headers=headers) for path in secrets() for client in clients]
        posts = [client.post(path, headers=headers, json={}) for path in secrets() for client in clients]
        # A proxy that refuses may close a stream of HTTP/2 before the body has been sent.
        await asyncio.gather(*gets, *posts, return_exceptions=True)


async def test_no_secret_is_logged(both: Watched) -> None:
    """Neither of a query, nor of a path, nor of a header: not when all is well, nor when a node dies on it."""
    await ask_with_secrets(both)
    both.near.drops = True
    await ask_with_secrets(both)
    log = both.front.log()
    assert SECRET[:20] not in log
    assert EVENTS in log
    assert "/s/***" in log
    assert log.count("***") >= 4 * len(secrets())


async def test_without_nodes_the_answer_is_typed_and_no_secret_is_logged(name: str, tmp_path: Path) -> None:
    """SDKs read it, and come back when it says."""
    async with watched(name, tmp_path, listening=0) as none, HTTP.client(none.front) as client:
        answer, _ = await asyncio.gather(client.post("/v1/streams", json={}), ask_with_secrets(none))
        log = none.front.log()
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert answer.headers["content-type"] == "application/json"
    assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("2", "2000")
    assert answer.json()["error"]["request_id"] == answer.headers["x-request-id"]
    assert SECRET[:20] not in log
    assert "/s/***" in log
