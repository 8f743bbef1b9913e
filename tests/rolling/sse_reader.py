"""A reader over server-sent events, who decides as `tidegate.client` does: it has many of its kind in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import random
from typing import cast

from endpoints import Service
from reading import Reading

from tidegate.client import paths
from tidegate.client.head import Head
from tidegate.client.session import Session
from tidegate.core.sse import Decoder


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

    def __init__(self, stream: str, session: Session, reading: Reading) -> None:
        loop = asyncio.get_running_loop()
        self.over = loop.create_future()
        self._time = loop.time
        self._stream = stream
        self._session = session
        self._decoder = Decoder(on_comment=session.comment)
        self._reading = reading
        self._head = b""
        self._body: Chunked | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        after = self._session.ask().after
        path = paths.events(self._stream) + (f"?after={after}" if after else "")
        lines = [f"GET {path} HTTP/1.1", "host: localhost", "accept: text/event-stream"]
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
        if self._session.answered(Head(int(status.split()[1]), fields)) != "events":
            self._leave()
            return False
        self._body = Chunked()
        return True

    def _take(self, body: bytes) -> None:
        now = self._time()
        messages = self._decoder.feed(body)
        if self._decoder.retry_ms is not None:
            self._session.retry(self._decoder.retry_ms)
        for message in messages:
            # Duplicates and all: the reading looks for what should not be there.
            self._session.event(message.event, message.data, message.id if message.own_id else None)
            if message.event == "reconnect":
                self._reading.note(f"told {message.data}", now)
            else:
                self._reading.take(message.event, message.data.encode(), message.id, now)
        if self._session.leaving:
            self._leave()

    def _leave(self) -> None:
        self._transport.abort()
        if not self.over.done():
            self.over.set_result(None)


async def follow(service: Service, stream: str, reading: Reading, on_first: Callable[[], None] = lambda: None) -> None:
    """Reads to the end of the stream, over as many connections as that takes."""
    loop = asyncio.get_running_loop()
    session = Session(attempts=None, random=random)
    while not session.ended:
        connection = Connection(stream, session, reading)
        reading.connections += 1
        port = service.pick()
        try:
            await loop.create_connection(lambda connection=connection: connection, "127.0.0.1", port)
            reading.note(f"connected to {port}", loop.time())
            await connection.over
        except OSError:
            reading.note(f"refused by {port}", loop.time())
        delay = session.lost()
        if delay is not None:
            await asyncio.sleep(delay)
