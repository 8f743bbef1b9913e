"""Connections whose clients vanish, or come and go by the thousand, on a real server process."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import ws_kit
from api_kit import call, fetch
from chaos.proxy import Line
from eventually_kit import eventually
from lost_kit import (
    are_left,
    connected,
    deafen,
    descriptors,
    none_runs,
    port_of,
    post,
    present,
    resident_bytes,
    vanish,
)
from socket_kit import socket as websocket
from ws_kit import PING, TEXT, Frame, RawSocket, frame

from tidegate.testing.process import running

pytestmark = pytest.mark.anyio

BEAT = 0.25
STALLED = 4 * BEAT
PROBED = 0.5 + 2 * 0.25
MARGIN = 20.0
"""For a machine that is busy. Who is not noticed in these ways stays for minutes, until TCP gives up."""

PROBING = """
ws_ping_seconds = 0.2
ws_idle_seconds = 0.5
ws_probe_seconds = 0.25
ws_probes = 2
"""
VANISHING = 4000
TOGETHER = 250
MOST_READERS = 300
MOST_GROWTH = 6 << 20
"""1,500 bytes for each that vanished; one that is kept has several thousand."""

Serve = Callable[[str], str]

SUBSCRIBE = frame(TEXT, b'{"id":1,"op":"subscribe","topic":"room"}')
EVENTS = b"GET /v1/topics/room/events HTTP/1.1\r\nhost: localhost\r\n\r\n"
SOCKET = ws_kit.request(target="/v1/ws")


def config(*, heartbeat: float = BEAT, more: str = "") -> str:
    return f"""
[store]
url = "memory://"
[limits]
requests_per_minute = 0
readers_per_principal = {MOST_READERS}
connections_per_principal = 0
[delivery]
heartbeat_seconds = {heartbeat}
{more}
[[models]]
name = "slow"
provider = "replay"
tokens = 100000
rate = 2
"""


@asynccontextmanager
async def line_to(url: str) -> AsyncIterator[Line]:
    line = Line(lambda: port_of(url))
    await line.open()
    try:
        yield line
    finally:
        await line.close()


async def publish(url: str, data: object) -> None:
    status, _, body = await fetch(f"{url}/v1/topics/room/messages", "POST", {"data": data})
    assert status == 200, body


# Who vanishes without a word


async def test_a_silent_socket_is_probed_and_closed(server: Serve) -> None:
    """A client that receives, but never says anything, is asked by pings, and closed with 4408 when its time is up."""
    url = server(config(more=PROBING))
    began = time.monotonic()
    client = RawSocket(await asyncio.to_thread(connected, port_of(url), SOCKET, b"\r\n\r\n"))
    said = [await asyncio.to_thread(client.read)]
    while said[-1] == Frame(PING):
        said.append(await asyncio.to_thread(client.read))
    assert said[-1] == ws_kit.closed(4408)
    assert len(said) > 2
    assert PROBED < time.monotonic() - began < PROBED + MARGIN
    client.close()
    await eventually(lambda: are_left(url, 0), within=MARGIN)


async def test_a_socket_whose_line_goes_silent_is_closed_on_time(server: Serve) -> None:
    """No FIN comes, and the way to it still acknowledges what is sent; another client that answers pings stays."""
    url = server(config(more=PROBING))
    async with line_to(url) as line, websocket(url) as neighbour, websocket(line.url) as client:
        await client.call("subscribe", topic="room")
        await neighbour.call("subscribe", topic="room")
        await eventually(lambda: are_left(url, 2), within=20)
        assert line.vanish() == 1
        assert await eventually(lambda: are_left(url, 1), within=20) < PROBED + MARGIN
        assert len((await neighbour.call("presence", topic="room"))["present"]) == 1
        assert (await present(url))[0]["connections"] == 1


async def test_a_reader_whose_line_goes_silent_is_let_go(server: Serve) -> None:
    """Once it cannot be sent what there is, for four heartbeats, its connection is broken."""
    url = server(config())
    async with line_to(url) as line, call(f"{line.url}/v1/topics/room/events") as answer:
        assert (await anext(answer.events())).event == "subscribed"
        assert line.vanish() == 1
        for _ in range(16):
            await publish(url, "x" * 1_000_000)
        assert await eventually(lambda: are_left(url, 0), within=20) < STALLED + MARGIN
        assert await present(url) == []


@pytest.mark.parametrize(
    ("request_", "until"),
    [
        (EVENTS, b"event: subscribed"),
        (post("/v1/streams", {"model": "slow", "prompt": "x", "stream": True, "on_disconnect": "cancel"}), b"started"),
        (SOCKET + SUBSCRIBE, b'"ok"'),
    ],
    ids=["topic", "generation", "websocket"],
)
async def test_a_reader_on_a_lost_path_is_let_go(server: Serve, request_: bytes, until: bytes) -> None:
    """Where nothing is acknowledged any more, it is gone after four heartbeats, long before the kernel gives up."""
    url = server(config(more="ws_ping_seconds = 0.2"))
    with await asyncio.to_thread(connected, port_of(url), request_, until) as sock:
        await eventually(lambda: are_left(url, 1), within=20)
        deafen(sock)
        assert await eventually(lambda: are_left(url, 0), within=20) < BEAT + STALLED + MARGIN
        await eventually(lambda: none_runs(url), within=1 + MARGIN)
        assert await present(url) == []


async def test_who_waits_for_a_whole_answer_on_a_lost_path_cancels_it(server: Serve) -> None:
    """Nothing is sent to such a client until its answer is whole: the kernel asks whether it is still there."""
    url = server(config())
    request = post("/v1/streams", {"model": "slow", "prompt": "x"})
    with socket.create_connection(("127.0.0.1", port_of(url))) as sock:
        sock.sendall(request)
        await eventually(lambda: are_left(url, 1), within=20)
        deafen(sock)
        # The kernel asks after whole seconds, and once more before it is sure.
        assert await eventually(lambda: are_left(url, 0), within=20) < STALLED + 1 + MARGIN
        await eventually(lambda: none_runs(url), within=1 + MARGIN)


async def test_who_asks_and_never_reads_is_let_go(server: Serve) -> None:
    """A socket that is full of answers nobody takes is not held for ever, though its client's kernel is well."""
    url = server(config())
    with await asyncio.to_thread(connected, port_of(url), SOCKET, b"\r\n\r\n") as sock:
        asked = frame(TEXT, b'{"id":1,"op":"ping"}') * 1000
        sock.settimeout(0.3)
        with suppress(OSError):
            while True:
                await asyncio.to_thread(sock.sendall, asked)
        # While the client's window is closed, the kernel asks after 0.2, 0.4, 0.8, 1.6 s: it may find out at 3.0 s.
        assert await eventually(lambda: are_left(url, 0), within=20) < 3 * STALLED + MARGIN


async def test_who_leaves_with_a_request_waiting_is_noticed(server: Serve) -> None:
    """A request that waits behind a stream for its turn does not hide that the client has left."""
    url = server(config(heartbeat=60))
    with await asyncio.to_thread(connected, port_of(url), EVENTS + EVENTS, b"event: subscribed"):
        await eventually(lambda: are_left(url, 1), within=20)
    await eventually(lambda: are_left(url, 0), within=20)


# Who comes and goes


async def test_thousands_that_break_off_leave_nothing(tmp_path: Path) -> None:
    """In every phase, with an RST or without: no connection, presence, seat, descriptor or memory is kept."""
    (tmp_path / "tidegate.toml").write_text(config(heartbeat=60))
    with running("--config", "tidegate.toml", "--log-level", "warning", cwd=tmp_path) as process:
        url, pid = process.url, process.pid
        _, _, made = await fetch(f"{url}/v1/streams", "POST", {"model": "slow", "prompt": "x", "background": True})
        phases = phases_of(made["id"])
        await break_off(url, phases, VANISHING // 8)
        files, grown = descriptors(pid), MOST_GROWTH
        # On a machine that has much to do more of them wait at once. What is kept grows each time.
        for _ in range(3):
            if grown >= MOST_GROWTH:
                memory = resident_bytes(pid)
                await break_off(url, phases, VANISHING)
                grown = resident_bytes(pid) - memory
        assert grown < MOST_GROWTH, f"{grown} bytes more after {VANISHING} that broke off"
        assert await present(url) == []
        await eventually(lambda: descriptors(pid) <= files, within=20)
        assert await seats(url, MOST_READERS + 1) == MOST_READERS
        assert "Traceback" not in process.stderr()


def phases_of(stream: str) -> list[tuple[bytes, bytes]]:
    """What is sent, and after what of the answer the client breaks off; nothing: without waiting for any."""
    attach = frame(TEXT, json.dumps({"id": 2, "op": "attach", "stream": stream}).encode())
    events = f"GET /v1/streams/{stream}/events HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
    attached = SOCKET + SUBSCRIBE + attach
    publishing = frame(TEXT, b'{"id":3,"op":"publish","topic":"room","data":"xxxxxxxxxxxxxxxxxxxx"}')
    return [
        (SOCKET[:40], b""),
        (SOCKET, b""),
        (SOCKET, b"\r\n\r\n"),
        (attached, b""),
        (attached, b'"type":"started"'),
        (attached + publishing[:30], b'"type":"started"'),
        (attached + frame(TEXT, b'{"id":', fin=False), b'"type":"started"'),
        (attached + frame(TEXT, b"{"), b"malformed_message"),
        (events[:20], b""),
        (EVENTS, b""),
        (events, b""),
        (events, b"HTTP/1.1 200"),
        (EVENTS, b"event: subscribed"),
        (events, b"event: started"),
        (post("/v1/streams", {"model": "slow", "prompt": "x"})[:-5], b""),
        (events + EVENTS, b"event: started"),
    ]


async def break_off(url: str, phases: list[tuple[bytes, bytes]], total: int) -> None:
    for first in range(0, total, TOGETHER):
        numbers = range(first, first + TOGETHER)
        await asyncio.gather(*(broken_off(url, *phases[n % len(phases)], reset=bool(n & 16)) for n in numbers))
        await eventually(lambda: are_left(url, 0), within=20)


async def broken_off(url: str, sent: bytes, until: bytes, *, reset: bool) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(url))
    writer.write(sent)
    try:
        if until:
            async with asyncio.timeout(10):
                await reader.readuntil(until)
    finally:
        vanish(writer, reset=reset)


async def seats(url: str, wanted: int) -> int:
    """How many of so many readers are let in."""
    clients = [await asyncio.open_connection("127.0.0.1", port_of(url)) for _ in range(wanted)]
    found = 0
    for reader, writer in clients:
        writer.write(EVENTS)
        async with asyncio.timeout(10):
            await reader.readuntil(b"\r\n\r\n")
            found += b"event: subscribed" in await reader.readuntil(b"\ndata: ")
    for _, writer in clients:
        vanish(writer, reset=True)
    return found
