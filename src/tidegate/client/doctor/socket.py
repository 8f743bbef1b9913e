"""A WebSocket to the deployment. It sends nothing by itself but what the protocol wants: pongs, and a close."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.typing import Origin, Subprotocol
from websockets.uri import parse_uri

from tidegate.client.doctor.answer import Answer
from tidegate.client.doctor.caller import MAX_ANSWER_BYTES, Caller
from tidegate.client.doctor.hearing import Hearing
from tidegate.client.doctor.trouble import Unanswered
from tidegate.client.words import as_table, parsed
from tidegate.http_client.errors import ClosedUnanswered, HttpError, MalformedResponse, TimedOut, failure
from tidegate.http_client.tls import tls

PATH = "/v1/ws"
SCHEMES = {"http": "ws", "https": "wss"}
SUBPROTOCOL = Subprotocol("tidegate.v1")


class Socket(asyncio.Protocol):
    """One socket. `accepted` is done once the handshake is over; it raises `Unanswered` for a refusal."""

    def __init__(self, caller: Caller, origin: str | None) -> None:
        loop = asyncio.get_running_loop()
        self.hearing = Hearing(loop.time)
        self.accepted: asyncio.Future[None] = loop.create_future()
        self.answers: dict[int, dict[str, Any]] = {}
        self._credentials = caller.credentials
        self._transport: asyncio.Transport | None = None
        self._size = 0
        self._protocol = ClientProtocol(
            parse_uri(f"{SCHEMES[caller.endpoint.scheme]}://{caller.endpoint.authority}{caller.endpoint.target(PATH)}"),
            origin=None if origin is None else Origin(origin),
            subprotocols=[SUBPROTOCOL],
            max_size=MAX_ANSWER_BYTES,
        )

    @property
    def close_code(self) -> int | None:
        """The code with which the server has closed the socket; None where it has not."""
        received = self._protocol.close_rcvd
        return None if received is None else received.code

    async def call(self, op: str, seconds: float, **fields: object) -> dict[str, Any] | None:
        """The answer to a call; None where none comes."""
        id = len(self.answers) + 1
        self._protocol.send_text(msgspec.json.encode({"id": id, "op": op, **fields}))
        self._flush()
        await self.hearing.until(lambda: id in self.answers, seconds)
        return self.answers.get(id)

    def close(self) -> None:
        """Closes the socket at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        request = self._protocol.connect()
        for name, value in self._credentials.items():
            request.headers[name] = value
        self._protocol.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > MAX_ANSWER_BYTES:
            self.close()
            return
        self._protocol.receive_data(data)
        self._take()
        self._flush()
        self.hearing.came()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._take()

    def connection_lost(self, exc: Exception | None) -> None:
        self.hearing.sent_away |= self.close_code is not None
        self.hearing.end()
        if not self.accepted.done():
            self.accepted.set_exception(ClosedUnanswered("closed the connection"))

    def _take(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Response):
                self._answered(event)
            elif isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self._hear(as_table(parsed(bytes(event.data))))
        if self._protocol.handshake_exc is not None and not self.accepted.done():
            self.accepted.set_exception(MalformedResponse("answers the handshake with something else than HTTP"))

    def _answered(self, response: Response) -> None:
        if self.accepted.done():
            return
        if self._protocol.handshake_exc is None:
            self.accepted.set_result(None)
        else:
            headers = {name.lower(): value for name, value in response.headers.raw_items()}
            answer = Answer(response.status_code, headers, bytes(response.body or b""))
            self.accepted.set_exception(Unanswered(answer))

    def _hear(self, message: Any) -> None:
        if isinstance(message.get("id"), int):
            self.answers[message["id"]] = dict(message)
        if message.get("type") == "delta":
            self.hearing.text += str(as_table(message.get("data")).get("text", ""))
        self.hearing.sent_away |= message.get("type") == "reconnect"

    def _flush(self) -> None:
        assert self._transport is not None
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()


@asynccontextmanager
async def connected(caller: Caller, seconds: float, *, origin: str | None = None) -> AsyncGenerator[Socket]:
    """A socket that the server has accepted. Raises `Unanswered`, or `HttpError`."""
    endpoint, loop = caller.endpoint, asyncio.get_running_loop()
    context = tls() if endpoint.scheme == "https" else None
    socket = Socket(caller, origin)
    try:
        async with asyncio.timeout(seconds):
            await loop.create_connection(lambda: socket, endpoint.host, endpoint.port, ssl=context)
            await socket.accepted
    except TimeoutError:
        socket.close()
        raise TimedOut("no answer in time") from None
    except OSError as error:
        raise failure(error) from error
    except (HttpError, Unanswered):
        socket.close()
        raise
    try:
        yield socket
    finally:
        socket.close()
