"""A reader over server-sent events, who decides as `tidegate.client` does: it has many of its kind in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import random
from typing import cast

from endpoints import Service
from reading import Reading

from tidegate.client.session import Session


class Chunked:
    """Takes the chunks of a body out of their frames, however they are cut."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        data = self._rest + data
        body: list[bytes] = []
        at = 0
        while (line := data.find(b"\r\n", at)) >= 0:
            begin, size = line + 2, int(data[at:line], 16)
            if len(data) < begin + size + 2:
                break
            body.append(data[begin : begin + size])
            at = begin + size + 2
        self._rest = data[at:]
        return b"".join(body)


class Connection(asyncio.Protocol):
    """One GET of the events of a stream; `over` is done when it has ended, however that was."""

    def __init__(self, session: Session, reading: Reading) -> None:
        loop = asyncio.get_running_loop()
        self.over = loop.create_future()
        self._time = loop.time
        self._session = session
        self._reading = reading
        self._head = b""
        self._body: Chunked | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        path, headers = self._session.request()
        lines = [f"GET {path} HTTP/1.1", "host: localhost", *(f"{name}: {value}" for name, value in headers.items())]
        transport.write("\r\n".join([*lines, "", ""]).encode())

    def data_received(self, data: bytes) -> None:
        if self._body is None:
            head, blank, data = (self._head + data).partition(b"\r\n\r\n")
            self._head = head + blank
            if not blank or not self._answered(head.decode("latin-1")):
                return
        if self._body is not None:
            self._take(self._body.feed(data))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self._reading.note("connection lost", self._time())
            self.over.set_result(None)

    def _answered(self, head: str) -> bool:
        status, *lines = head.split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self._reading.note(f"answered {status.split()[1]}", self._time())
        if not self._session.answered(int(status.split()[1]), fields.get, bytes):
            self._leave()
            return False
        self._body = Chunked()
        return True

    def _take(self, body: bytes) -> None:
        now = self._time()
        for event in self._session.feed(body):
            if event.event == "reconnect":
                self._reading.note(f"told {event.data}", now)
                self._leave()
            else:
                self._reading.take(event.event, event.data.encode(), event.id, now)
        if self._session.ended:
            self._leave()

    def _leave(self) -> None:
        self._transport.abort()
        if not self.over.done():
            self.over.set_result(None)


async def follow(service: Service, stream: str, reading: Reading, on_first: Callable[[], None] = lambda: None) -> None:
    """Reads to the end of the stream, over as many connections as that takes."""
    loop = asyncio.get_running_loop()
    session = Session(stream, after=None, random=random)
    while not session.ended:
        connection = Connection(session, reading)
        reading.connections += 1
        port = service.pick()
        try:
            await loop.create_connection(lambda connection=connection: connection, "127.0.0.1", port)
            reading.note(f"connected to {port}", loop.time())
            await connection.over
        except OSError:
            reading.note(f"refused by {port}", loop.time())
        if not session.ended:
            await asyncio.sleep(session.lost())
