"""Many WebSockets on one topic: what a message costs per socket, compared with a Go hub with gorilla/websocket."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from websockets.sync.client import connect

from tidegate.bench import product
from tidegate.bench.load import Load, reading
from tidegate.bench.measure import Contender, in_turn, under_way
from tidegate.bench.options import Bench
from tidegate.bench.processes import Server, listening, memory_bytes, server_cpu
from tidegate.bench.publishing import TOPIC, Send, publishing
from tidegate.bench.report import Table
from tidegate.errors import TidegateError

PATH = "/v1/ws"

HANDSHAKE = (
    f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
).encode()

ARRIVE_SECONDS = 30.0
"""How long the last messages may take to reach every socket."""

LOOK_SECONDS = 0.1

MASK = bytes(4)
"""The key that masks a client's frames; this one leaves them unchanged."""


def sockets(bench: Bench) -> Table:
    """WebSockets on one topic: server CPU per message and socket, memory per socket, and every message once."""
    options = bench.options
    title = f"{options.readers:,} WebSockets on one topic at {options.rate:g} messages/s"
    columns = {"us/token": 2, "KB/reader": 1, "p50 ms": 2, "p99 ms": 2, "CPU %": 1, "tokens/s": 0}
    contenders: dict[str, Contender] = {"tidegate": _topic}
    hub = bench.programs.baseline("sockets")
    if hub is not None:
        contenders["gorilla/websocket hub"] = partial(_hub, hub)
    notes = ["A token is a message at one socket. Each socket had every message once, in their order."]
    return in_turn(Table(title, columns, notes), contenders, options.rounds, partial(_one, bench))


@contextmanager
def _topic() -> Generator[Server]:
    with product.serving("") as server:
        yield replace(server, request=HANDSHAKE + _text({"id": 1, "op": "subscribe", "topic": TOPIC}))


@contextmanager
def _hub(command: list[str | Path]) -> Generator[Server]:
    """Runs a hub that sends each message unchanged to every connection."""
    with listening(command, server_cpu()) as server:
        yield replace(server, request=HANDSHAKE)


def _one(bench: Bench, server: Server) -> dict[str, float]:
    options = bench.options
    with reading(bench.programs.load(), server, options.readers, websocket=True) as load:
        before = memory_bytes(server.pid)
        load.dial()
        with publishing(options, partial(_publisher, server)) as published:
            _, found = under_way(options, server, load, before)
        check(load, published())
    return found


@contextmanager
def _publisher(server: Server) -> Generator[Send]:
    with connect(f"ws://127.0.0.1:{server.port}{PATH}") as socket:

        def send(number: int, text: str) -> None:
            call = {"id": number, "op": "publish", "topic": TOPIC, "data": text}
            socket.send(msgspec.json.encode(call), text=True)
            # tidegate's answer; the hub sends the message itself.
            socket.recv(ARRIVE_SECONDS)

        yield send


def check(load: Load, published: int, *, seconds: float = ARRIVE_SECONDS) -> None:
    """Raises `TidegateError` unless every connection receives every message once and in order, within `seconds`."""
    give_up = time.monotonic() + seconds
    while (counts := load.report()).tokens_min < published and time.monotonic() < give_up:
        time.sleep(LOOK_SECONDS)
    if not counts.tokens_min == counts.tokens_max == published or counts.disorder or counts.closed:
        raise TidegateError(
            f"of {published} messages each socket had {counts.tokens_min} to {counts.tokens_max}, {counts.disorder} of "
            f"them out of order, and {counts.closed} were closed"
        )


def _text(call: Mapping[str, Any]) -> bytes:
    """A call as a WebSocket frame."""
    data = msgspec.json.encode(call)
    return bytes((0x81, 0x80 | len(data))) + MASK + data
