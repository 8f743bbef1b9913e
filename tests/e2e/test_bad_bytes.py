"""What is no JSON that everybody can read is refused, whatever the route, and nothing of it is kept."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import product

import pytest
from api_kit import fetch
from socket_kit import MSGPACK, CallFailed, SocketClient, socket

from tidegate.app import EMBEDDED, Tidegate
from tidegate.config import LimitSettings, Settings
from tidegate.providers.settings import ReplayModel
from tidegate.routes.table import ROUTES
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

DEEP = b"[" * 200 + b"]" * 200
# As a value in a body that is otherwise fine.
BAD_VALUES = {
    "latin-1": b'"caf\xe9"',
    "half an emoji": b'"\\ud83d"',
    "the other half": b'"\\ude00"',
    "a surrogate as bytes": b'"\xed\xa0\xbd"',
    "overlong": b'"\xc0\xaf"',
    "cut in a character": b'"\xf0\x9f\x8c"',
    "too large a float": b"1e400",
    "NaN": b"NaN",
    "infinity": b"-Infinity",
    "too long an integer": b"1" * 5000,
    "half an escape": b'"\\u12"',
    "a control character": b'"a\nb"',
    "too deep": DEEP,
    "far too deep": DEEP[:200] * 20 + DEEP[200:] * 20,
}
BODIES = {
    "POST /v1/streams": b'{"model": "replay", "messages": [{"role": "user", "content": [{"type": "x", "x": %b}]}]}',
    "POST /v1/streams (metadata)": b'{"model": "replay", "prompt": "x", "metadata": {"a": %b}}',
    "POST /v1/streams (client)": b'{"producer": "client", "metadata": {"a": %b}}',
    "POST /v1/streams/{id}/append": b'{"lease": "x", "expected_offset": 1, "events": [{"type": "delta", "data": '
    b'{"text": %b}}]}',
    "POST /v1/streams/{id}/cancel": b'{"reason": %b}',
    "POST /v1/streams/{id}/share": b'{"ttl_seconds": %b}',
    "POST /v1/topics/{name}/messages": b'{"data": %b}',
    "POST /v1/session": b'{"token": %b}',
    "POST /v1/probe": b'{"dropped": %b}',
    "POST /v1/chat/completions": b'{"model": "replay", "messages": [{"role": "user", "content": "x"}], "x": %b}',
}
# As a whole body.
WHOLES = [b"\xef\xbb\xbf{}", "{}".encode("utf-16"), b"{", b"nonsense", b"\xff", b"[]", b"5", b"\0"]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    settings = Settings(
        store=EMBEDDED.store,
        models=(ReplayModel(name="replay", tokens=3, rate=0),),
        limits=LimitSettings(requests_per_minute=0),
    )
    app = Tidegate(settings)
    async with serving(app) as url:
        yield url
    await app.close()


def test_every_body_is_tried() -> None:
    """Each route that takes a body is among those that bad ones are sent to."""
    taken = {f"{route.method} {route.path}" for route in ROUTES if route.bodies}
    assert taken == {route.partition(" (")[0] for route in BODIES}


def _path(route: str, stream: str) -> str:
    return route.partition(" (")[0].removeprefix("POST ").replace("{id}", stream).replace("{name}", "bytes")


@pytest.mark.parametrize("route", BODIES)
async def test_bad_bodies(url: str, route: str) -> None:
    """Bytes that are not UTF-8, half characters, numbers out of range and the like are 400, and typed."""
    made = (await fetch(f"{url}/v1/streams", "POST", {"producer": "client"}))[2]
    for name, body in [*((name, BODIES[route] % bad) for name, bad in BAD_VALUES.items()), *enumerate(WHOLES)]:
        status, _, answer = await fetch(url + _path(route, made["id"]), "POST", body)
        assert (status, answer["error"]["type"]) == (400, "invalid_request_error"), (name, answer)
    assert (await fetch(f"{url}/v1/streams/{made['id']}"))[2]["status"] == "running"
    await fetch(f"{url}/v1/streams/{made['id']}", "DELETE")


@pytest.mark.parametrize("route", [route for route in BODIES if "share" not in route])
async def test_a_lone_surrogate_says_what_it_is(url: str, route: str) -> None:
    """Whoever has cut an emoji in two is told so."""
    body = BODIES[route] % b'"\\ud83d"'
    answer = (await fetch(url + _path(route, "gen_x"), "POST", body))[2]
    assert "`\\ud83d` is a lone surrogate" in answer["error"]["message"]


async def test_what_topics_keep(url: str) -> None:
    """Nothing that was refused is in the topic; what was taken is as it was, a long number too."""
    long = b"9" * 300
    for data in [*BAD_VALUES.values(), b"9" * 309, b"[" * 101 + b"]" * 101]:
        assert (await fetch(f"{url}/v1/topics/kept/messages", "POST", b'{"data": %b}' % data))[0] == 400
    for data in [long, b'{"a":1,"a":2}', b"1.50", b"[" * 100 + b"]" * 100]:
        assert (await fetch(f"{url}/v1/topics/kept/messages", "POST", b'{"data": %b}' % data))[0] == 200
    async with socket(url) as client, socket(url, MSGPACK) as other:
        await client.call("subscribe", topic="kept", after="earliest")
        assert [(await client.event())["data"]["data"] for _ in range(3)] == [int(long), {"a": 2}, 1.5]
        await other.call("subscribe", topic="kept", after="earliest")
        assert [(await other.event())["data"]["data"] for _ in range(3)] == [float(long), {"a": 2}, 1.5]


@pytest.mark.parametrize(
    "data",
    [float("nan"), float("inf"), b"x", {1: 2}, {"a": [float("nan")]}, {b"x": 1}],
    ids=["nan", "inf", "binary", "number as a key", "nan within", "binary as a key"],
)
async def test_what_messagepack_has_beyond_json(url: str, data: object) -> None:
    """What JSON cannot say is refused where it would be kept or passed on, not made into something else."""
    message = {"role": "user", "content": [{"type": "x", "x": data}]}
    async with socket(url, MSGPACK) as client:
        await _refused(client, "publish", topic="bytes", data=data)
        await _refused(client, "create", model="replay", messages=[message])
        await client.call("ping")


async def test_how_deep_a_message_may_be(url: str) -> None:
    """JSON is 100 deep at the most, over the socket too; where it cannot even be read the message is none."""
    deep: list[object] = []
    for _ in range(100):
        deep = [deep]
    for codec in ("tidegate.v1", MSGPACK):
        async with socket(url, codec) as client:
            await _refused(client, "publish", topic="bytes", data=deep)
            await _refused(client, "create", model="replay", messages=[{"role": "user", "content": [{"x": deep}]}])
            assert "cursor" in await client.call("publish", topic="bytes", data=deep[0])


async def _refused(client: SocketClient, op: str, **fields: object) -> None:
    with pytest.raises(CallFailed) as caught:
        await client.call(op, **fields)
    assert caught.value.error["type"] == "invalid_request_error"


QUERIES = ["after=%zz", "after=%ff", "after=%", "after=%00", "snapshot=%ff", "events=%", "lastEventId=%ff"]
PATHS = ["/v1/streams/{id}/events", "/v1/topics/bytes/events"]


CASES = [(path, query) for path, query in product(PATHS, QUERIES) if "topics" not in path or "snapshot" not in query]


@pytest.mark.parametrize(("path", "query"), CASES)
async def test_bad_escapes_in_queries(url: str, path: str, query: str) -> None:
    """A query with broken escapes is read as it stands, and refused like any other value that is not allowed."""
    made = (await fetch(f"{url}/v1/streams", "POST", {"model": "replay", "prompt": "x"}))[2]
    assert (await fetch(f"{url}{path.format(id=made['id'])}?{query}"))[0] == 400


@pytest.mark.parametrize("path", ["/v1/streams?limit=%ff", "/v1/streams?status=%", "/v1/streams?before=%ff%00"])
async def test_bad_escapes_in_lists(url: str, path: str) -> None:
    """So are lists."""
    assert (await fetch(url + path))[0] in (400, 404)
