"""A reader over a WebSocket, who comes back as the page's client does."""

from __future__ import annotations

import asyncio
from random import random
from typing import cast

import msgspec
from endpoints import Service
from reading import Reading
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from tidegate.core.backoff import Backoff

GOING_AWAY = 1001

SPREAD_SECONDS = 1.0
"""After `GOING_AWAY` a client comes back within so long, or sooner where it was told: `SPREAD_MS` of the page."""


class Message(msgspec.Struct):
    type: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    cursor: str = ""
    error: msgspec.Raw | None = None


_message = msgspec.json.Decoder(Message).decode


class Place:
    """Where a reader is in its stream, over all of its connections."""

    def __init__(self, stream: str, reading: Reading) -> None:
        self.stream = stream
        self.reading = reading
        self.cursor = ""


class Connection(asyncio.Protocol):
    """One socket that follows the stream; `over` has the code it was closed with."""

    def __init__(self, place: Place) -> None:
        loop = asyncio.get_running_loop()
        self.over: asyncio.Future[int] = loop.create_future()
        self.away = SPREAD_SECONDS
        """How soon the server wants its client back where it leaves."""
        self._time = loop.time
        self._place = place
        uri = parse_uri("ws://localhost/v1/ws")
        self._protocol = ClientProtocol(uri, subprotocols=[Subprotocol("tidegate.v1")])
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._protocol.send_request(self._protocol.connect())
        self._send()

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._frame(event)
            else:
                self._attach()
        self._send()

    def eof_received(self) -> None:
        self._protocol.receive_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            code = self._protocol.close_rcvd.code if self._protocol.close_rcvd else 0
            self._place.reading.note(f"closed {code}", self._time())
            self.over.set_result(code)

    def leave(self) -> None:
        self._transport.abort()

    def _attach(self) -> None:
        place = self._place
        after = {"after": place.cursor} if place.cursor else {}
        call = {"id": 1, "op": "attach", "stream": place.stream, **after}
        self._protocol.send_text(msgspec.json.encode(call))

    def _send(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.write_eof()

    def _frame(self, frame: Frame) -> None:
        if frame.opcode is not Opcode.TEXT:
            return
        place = self._place
        try:
            message = _message(frame.data)
        except msgspec.DecodeError as error:
            place.reading.problems.append(f"cannot read {frame!r}: {error}")
            place.reading.end = "unreadable"
            self.leave()
            return
        if message.error is not None:
            place.reading.problems.append(f"was refused: {bytes(message.error).decode()}")
            place.reading.end = "refused"
        elif message.type == "reconnect":
            self.away = min(msgspec.json.decode(message.data)["after_ms"] / 1000, SPREAD_SECONDS)
            place.reading.note(f"told {bytes(message.data).decode()}", self._time())
        elif message.type:
            place.cursor = message.cursor
            place.reading.take(message.type, message.data, message.cursor, self._time())
        if place.reading.end:
            self.leave()


async def follow(service: Service, stream: str, reading: Reading) -> None:
    """Reads to the end of the stream, over as many sockets as that takes."""
    loop = asyncio.get_running_loop()
    place, backoff = Place(stream, reading), Backoff(random, attempts=None)
    while not reading.end:
        connection = Connection(place)
        reading.connections += 1
        port, code = service.pick(), 0
        try:
            await loop.create_connection(lambda connection=connection: connection, "127.0.0.1", port)
            reading.note(f"connected to {port}", loop.time())
            code = await connection.over
            backoff.reset()
        except OSError:
            reading.note(f"refused by {port}", loop.time())
        if not reading.end:
            await asyncio.sleep(random() * connection.away if code == GOING_AWAY else backoff.failed() or 0.0)
