"""Event streams and sockets that wait: what is kept for them, and what is told once they are over."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from api_kit import call, fetch
from eventually_kit import eventually
from starlette.types import Receive, Scope, Send
from websockets.asyncio.client import connect

from tidegate.app import Tidegate
from tidegate.core.events import GenerationRequest
from tidegate.core.trace_context import current_trace
from tidegate.observe.base import Failure, Occurrence, ReaderLeft, RequestDone
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

EVENTS = "/v1/topics/room/events"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Recorder:
    """Keeps what it is told, with the trace in which it was."""

    def __init__(self) -> None:
        self.seen: list[tuple[Occurrence, str | None]] = []

    def observe(self, occurrence: Occurrence) -> None:
        trace = current_trace.get()
        self.seen.append((occurrence, None if trace is None else trace.trace_id))

    def told(self, kind: type[Occurrence]) -> list[tuple[Any, str | None]]:
        return [(each, trace) for each, trace in self.seen if isinstance(each, kind)]


async def answer(request: GenerationRequest) -> AsyncIterator[str]:
    yield "a "


async def endless(request: GenerationRequest) -> AsyncIterator[str]:
    yield "a "
    await asyncio.Event().wait()


async def test_a_call_is_over_when_its_events_are() -> None:
    """It is told of once, then, with its status, its trace and all the time that it has taken; its place is free."""
    recorder = Recorder()
    app = Tidegate(models={"m": answer}, observer=recorder)
    async with serving(app) as url:
        headers = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
        async with call(url + EVENTS, headers=headers) as found:
            assert (await anext(found.events())).event == "subscribed"
            assert [done for done, _ in recorder.told(RequestDone)] == []
            assert (len(app.registry), len(app.connections)) == (1, 1)
        await eventually(lambda: recorder.told(RequestDone))
        ((done, trace),) = recorder.told(RequestDone)
        assert (done.path, done.status, done.principal, trace) == (EVENTS, 200, "anonymous", TRACE)
        assert [trace for _, trace in recorder.told(ReaderLeft)] == [TRACE]
        assert (len(app.registry), len(app.connections)) == (0, 0)
    await app.close()


async def test_a_stream_that_ends_leaves_its_connection_for_the_next_call() -> None:
    """The last event is followed by the end of the body, as any HTTP client waits for it."""
    app = Tidegate(models={"m": answer})
    async with serving(app) as url:
        _, _, made = await fetch(f"{url}/v1/streams", "POST", {"model": "m", "prompt": "x", "background": True})
        path = f"/v1/streams/{made['id']}/events"
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        async with asyncio.timeout(10):
            for _ in range(2):
                writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
                await reader.readuntil(b"event: completed")
                await reader.readuntil(b"\r\n0\r\n\r\n")
        writer.close()
    await app.close()


@asynccontextmanager
async def following(url: str, path: str, until: bytes) -> AsyncGenerator[asyncio.StreamReader]:
    """A connection over which the events at `path` are followed, and have been read up to `until`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    async with asyncio.timeout(10):
        writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        await reader.readuntil(until)
        yield reader
    writer.close()


async def test_an_answer_whose_server_stops_at_once_breaks_off() -> None:
    """Without its last chunk, since clients take that for the end of the stream."""
    app = Tidegate()
    async with serving(app) as url, following(url, EVENTS, b"subscribed") as reader:
        await eventually(lambda: not of_connections())
        await app.close()
        assert not (await reader.read()).endswith(b"0\r\n\r\n")


async def test_a_stream_that_is_deleted_while_it_is_followed_ends() -> None:
    """As one that was cancelled: its readers get its end, and the whole body."""
    app = Tidegate(models={"endless": endless})
    async with serving(app) as url:
        _, _, made = await fetch(f"{url}/v1/streams", "POST", {"model": "endless", "prompt": "x", "background": True})
        stream = f"/v1/streams/{made['id']}"
        async with following(url, f"{stream}/events", b"event: delta") as reader:
            await eventually(lambda: not of_connections())
            assert (await fetch(url + stream, "DELETE"))[0] == 204
            rest = await reader.readuntil(b"\r\n0\r\n\r\n")
            assert b"event: cancelled" in rest
            await eventually(lambda: not app.service.readers.attached)
    await app.close()


async def test_an_answer_whose_reader_fails_breaks_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure after the head has no answer of its own: the connection breaks, and the observer is told why."""
    recorder = Recorder()
    app = Tidegate(observer=recorder)
    async with serving(app) as url, following(url, EVENTS, b"subscribed") as reader:
        await eventually(lambda: app.service.readers.attached)

        def fails(*_: object, **__: object) -> None:
            raise RuntimeError("a bug in the store")

        monkeypatch.setattr("tidegate.streams.reader.Reader.take", fails)
        await fetch(f"{url}/v1/topics/room/messages", "POST", {"data": 1})
        assert not (await reader.read()).endswith(b"0\r\n\r\n")
        await eventually(lambda: recorder.told(Failure))
        done = [each for each, _ in recorder.told(RequestDone) if each.path == EVENTS]
        assert [(each.status, each.code) for each in done] == [(200, "internal_error")]
        assert len(app.registry) == 0
    await app.close()


class Counted(Tidegate):
    """An application that does something of its own once a call is over, as monitoring does."""

    over = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.over += 1


async def test_the_call_of_a_subclass_lasts_for_as_long_as_its_answer() -> None:
    """It may do what ASGI says can be done then; only what says of itself that it `detaches` returns before."""
    app = Counted()
    async with serving(app) as url:
        async with call(url + EVENTS) as found:
            assert (await anext(found.events())).event == "subscribed"
            await fetch(f"{url}/v1/topics/room/messages", "POST", {"data": 1})
            assert (await anext(found.events())).event == "message"
            # The call that has published is over.
            assert app.over == 1
        await eventually(lambda: app.over == 2)
    await app.close()


def of_connections() -> list[str]:
    """The coroutines of running tasks that serve a connection."""
    coroutines = [task.get_coro() for task in asyncio.all_tasks()]
    return [repr(each) for each in coroutines if "/tidegate/serving/" in each.cr_code.co_filename]


@pytest.mark.parametrize("kind", ["sse", "websocket"])
async def test_what_waits_holds_no_task(kind: str) -> None:
    """With it go the frames of the whole application, and the request: more than half of a connection's memory."""
    app = Tidegate()
    async with serving(app) as url, AsyncExitStack() as open_ones, asyncio.timeout(30):
        if kind == "sse":
            found = await open_ones.enter_async_context(call(url + EVENTS))
            assert (await anext(found.events())).event == "subscribed"
        else:
            client = await open_ones.enter_async_context(connect(url.replace("http", "ws") + "/v1/ws"))
            await client.send(json.dumps({"id": 1, "op": "subscribe", "topic": "room"}))
            await client.recv()
        await eventually(lambda: not of_connections())
        assert len(app.registry) == 1
    await app.close()
