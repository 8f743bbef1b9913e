from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from eventually_kit import eventually

from tidegate import Tidegate
from tidegate.config import Settings
from tidegate.core.trace_context import TraceContext, current_trace
from tidegate.gate.trace import TraceMiddleware
from tidegate.providers.settings import OpenAIModel
from tidegate.testing.server import serving
from tidegate.testing.upstream import FakeUpstream, Head, Request, Script, Wait, chat

pytestmark = pytest.mark.anyio

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = (b"traceparent", f"00-{TRACE}-{SPAN}-01".encode())


class Told:
    """An application that remembers the traces it was called within."""

    def __init__(self) -> None:
        self.traces: list[TraceContext] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        # Other requests take their turns in between.
        await asyncio.sleep(0)
        assert scope["tidegate.trace"] == current_trace.get()
        self.traces.append(scope["tidegate.trace"])
        await send({"type": "http.response.start", "status": 200, "headers": []})


async def test_continued(exchange: Any) -> None:
    """A request within a client's trace is a span below its own, and hands on its flags and state."""
    told = Told()
    app = TraceMiddleware(told, random_bytes=lambda n: b"\x01" * n)
    await exchange(app, [PARENT, (b"tracestate", b"a=1"), (b"tracestate", b"b=2")])
    assert told.traces == [TraceContext(TRACE, "01" * 8, 1, "a=1,b=2", SPAN)]


@pytest.mark.parametrize("headers", [[], [PARENT, PARENT], [(b"traceparent", b"00-x")]])
async def test_started(exchange: Any, headers: list[tuple[bytes, bytes]]) -> None:
    """Without a valid trace of the client's a new one begins, which is not sampled."""
    told = Told()
    app = TraceMiddleware(told, random_bytes=lambda n: bytes(range(n)))
    await exchange(app, [*headers, (b"tracestate", b"a=1")])
    assert told.traces == [TraceContext(bytes(range(16)).hex(), bytes(range(16, 24)).hex(), 0)]


async def test_each_request_has_its_own(exchange: Any) -> None:
    """Requests that are served at the same time do not see each other's traces."""
    told = Told()
    app = TraceMiddleware(told)

    async def serve() -> None:
        await app({"type": "http", "headers": []}, None, exchange._send)  # type: ignore[arg-type]

    await asyncio.gather(*(serve() for _ in range(10)))
    assert len({trace.trace_id for trace in told.traces}) == 10
    assert current_trace.get() is None


async def test_websockets_too(exchange: Any) -> None:
    """The calls on a socket belong to the trace that its handshake belongs to."""
    told = Told()
    await TraceMiddleware(told)({"type": "websocket", "headers": [PARENT]}, None, exchange._send)  # type: ignore[arg-type]
    assert told.traces[0].trace_id == TRACE


async def test_lifespan_passes() -> None:
    """What is no request passes untouched."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    await TraceMiddleware(app)({"type": "lifespan"}, None, None)  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}]


# From the client to the upstream

ASKED = {"model": "fake", "prompt": "hi"}


def ids(number: int) -> dict[str, str]:
    """The ids of a client's request."""
    return {"x-request-id": f"mine-{number}", "traceparent": f"00-{number:032x}-{SPAN}-01", "tracestate": f"a={number}"}


def told(request: Request) -> tuple[str | None, str | None, str | None]:
    """The request id, the trace and its state that an upstream was told."""
    version, trace, span, flags = request.headers["traceparent"].split("-")
    assert (version, len(span), flags) == ("00", 16, "01")
    assert span != SPAN
    return request.headers.get("x-request-id"), trace, request.headers.get("tracestate")


async def relayed(*scripts: Script, bodies: list[Mapping[str, object]], go_on: asyncio.Event) -> list[Request]:
    """Sends the bodies in their order, each while those before it are answered, one at a time: the upstream's calls."""
    async with FakeUpstream(*scripts) as upstream, asyncio.timeout(20):
        app = Tidegate(Settings(models=(OpenAIModel(name="fake", base_url=upstream.url, max_concurrency=1),)))
        traced = TraceMiddleware(app)

        async def served(scope: Any, receive: Any, send: Any) -> None:
            await traced(scope, receive, send)

        async with serving(served) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
            async with asyncio.TaskGroup() as calls:
                for number, body in enumerate(bodies, start=1):
                    calls.create_task(post(client, number, body))
                    await (upstream.received() if number == 1 else queued(client, number - 1))
                go_on.set()
                await upstream.received(len(bodies))
            await app.close()
    return upstream.requests


async def post(client: httpx.AsyncClient, number: int, body: Mapping[str, object]) -> None:
    (await client.post("/v1/streams", json=body, headers=ids(number))).raise_for_status()


async def queued(client: httpx.AsyncClient, count: int) -> None:
    """Waits until so many generations wait for their turn."""

    async def waiting() -> bool:
        return len((await client.get("/v1/streams", params={"status": "queued"})).json()["data"]) >= count

    await eventually(waiting)


async def test_an_upstream_is_told_whose_request_it_answers() -> None:
    """A call upstream carries the id and the trace of the request that has asked for it, on whatever terms.

    Also where it waits for its turn, and where its request was over long before: neither the request whose end lets
    it begin, nor the one whose connection it goes over, lends it an id.
    """
    go_on = asyncio.Event()
    modes: list[Mapping[str, object]] = [{}, {"stream": True}, {"background": True}]
    held: Script = [Head(), Wait(go_on), *chat("a")[1:]]
    requests = await relayed(held, chat("b"), bodies=[{**ASKED, **mode} for mode in modes], go_on=go_on)
    assert [told(request) for request in requests] == [(f"mine-{n}", f"{n:032x}", f"a={n}") for n in (1, 2, 3)]


async def test_background() -> None:
    """A background generation that begins at once has them too."""
    go_on = asyncio.Event()
    go_on.set()
    (request,) = await relayed(chat("a"), bodies=[{**ASKED, "background": True}], go_on=go_on)
    assert told(request) == ("mine-1", f"{1:032x}", "a=1")
