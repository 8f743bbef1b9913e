"""Calls one deployment, and nobody else: no redirect is followed, so the key stays with the origin it is meant for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import msgspec

from tidegate.client.doctor.answer import Answer
from tidegate.client.doctor.event_reader import EventReader
from tidegate.client.http import bearer
from tidegate.client.words import reason
from tidegate.http_client.connect import connect
from tidegate.http_client.connection import ClientConnection, ResponseHead
from tidegate.http_client.endpoint import Endpoint
from tidegate.http_client.errors import ConnectionClosed, HttpError, TimedOut, TooLarge

MAX_ANSWER_BYTES = 1024 * 1024
"""An answer that is longer is none of tidegate's."""

LONGEST_PAUSE_SECONDS = 1.0
"""The longest pause of a caller who is told to call again: a limit may leave room long before that."""

LATER = (429, 503)
"""Statuses after which a server, or a proxy that waits for one, may say when to call again."""


class Caller:
    """Calls the server behind one URL, each time on a new connection, with the key if there is one.

    A call has so many `seconds`, and is made up to `later` times more if the server says that it may be.
    """

    def __init__(self, url: str, api_key: str, *, seconds: float, later: int) -> None:
        self.url = url
        self.endpoint = Endpoint.parse(url)
        self.credentials: Mapping[str, str] = bearer(api_key)
        self._seconds = seconds
        self._later = later

    @property
    def origin(self) -> str:
        """The origin of the pages that are served at the URL, as browsers write it."""
        return f"{self.endpoint.scheme}://{self.endpoint.authority}"

    async def post(
        self, path: str, body: object = None, headers: Mapping[str, str] = {}, *, with_key: bool = True
    ) -> Answer:
        """The answer to a POST of JSON. What this client posts may be repeated, and is, if the connection breaks."""
        content = b"" if body is None else msgspec.json.encode(body)
        return await self.call("POST", path, content, headers, with_key=with_key)

    async def call(
        self, method: str, path: str, content: bytes = b"", headers: Mapping[str, str] = {}, *, with_key: bool = True
    ) -> Answer:
        """The answer to a call that may be repeated. Raises `HttpError`."""
        head = self._head(method, path, content, {**headers, **(self.credentials if with_key else {})})
        try:
            answer = await self._once(head + content, self._seconds)
        except ConnectionClosed:
            answer = await self._once(head + content, self._seconds)
        for _ in range(self._later):
            if (pause := pause_told(answer)) is None:
                break
            await asyncio.sleep(min(pause, LONGEST_PAUSE_SECONDS))
            answer = await self._once(head + content, self._seconds)
        return answer

    async def post_once(self, path: str, content: bytes, *, seconds: float) -> Answer:
        """The answer to a POST that this client does not repeat, whatever happens. Raises `HttpError`."""
        return await self._once(self._head("POST", path, content, self.credentials) + content, seconds)

    @asynccontextmanager
    async def events(self, path: str, headers: Mapping[str, str] = {}) -> AsyncGenerator[EventReader]:
        """A reader of an event stream, whose answer may not have begun. Raises `HttpError`."""
        head = self._head("GET", path, b"", {"accept": "text/event-stream", **headers, **self.credentials})
        async with self._connection(self._seconds) as connection:
            reader = EventReader(asyncio.get_running_loop().time, most=MAX_ANSWER_BYTES)
            connection.send(head, reader)
            yield reader

    async def _once(self, request: bytes, seconds: float) -> Answer:
        try:
            async with asyncio.timeout(seconds), self._connection(seconds) as connection:
                whole = _Whole()
                connection.send(request, whole)
                return await whole.answer
        except TimeoutError:
            raise TimedOut("no answer in time") from None

    @asynccontextmanager
    async def _connection(self, seconds: float) -> AsyncGenerator[ClientConnection]:
        connection = await connect(self.endpoint, seconds)
        try:
            yield connection
        finally:
            connection.abort()

    def _head(self, method: str, path: str, content: bytes, headers: Mapping[str, str]) -> bytes:
        sized = {"content-type": "application/json", "content-length": str(len(content))} if method == "POST" else {}
        fields = {"user-agent": "tidegate-doctor", "accept": "*/*", **sized, **headers}
        return self.endpoint.request_head(method, path, fields) + b"\r\n"


class _Whole:
    """Receives a whole answer, up to `MAX_ANSWER_BYTES`."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._head = ResponseHead(0, {})
        self._body = bytearray()

    def answered(self, head: ResponseHead) -> None:
        self._head = head

    def receive(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > MAX_ANSWER_BYTES:
            raise TooLarge(f"answers with more than {MAX_ANSWER_BYTES} bytes")

    def closed(self, error: Exception | None) -> None:
        if self.answer.done():
            return
        if error is not None:
            self.answer.set_exception(error)
        else:
            self.answer.set_result(Answer(self._head.status, self._head.headers, bytes(self._body)))


def why(error: HttpError) -> str:
    """Why there is no answer, in words to go after a subject."""
    cause = error.__cause__
    if isinstance(cause, Exception) and not isinstance(cause, HttpError):
        return f"does not answer: {reason(cause)}"
    return f"does not answer: {error}" if isinstance(error, TimedOut) else str(error)


def pause_told(answer: Answer) -> float | None:
    """After how many seconds the caller may call again; None where nothing is said of it."""
    told = answer.headers.get("retry-after", "")
    return float(told) if answer.status in LATER and told.isascii() and told.isdigit() and len(told) < 4 else None
