"""One HTTP call as its handler sees it: its parameters, its body, its answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, nullcontext
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec
from starlette.types import Receive, Scope, Send

from tidegate.core.batching import BatchPolicy
from tidegate.core.bucket import Buckets
from tidegate.core.connection import REFUSED
from tidegate.core.detached import Detached, detach
from tidegate.core.error_response import error_response
from tidegate.core.principal import Principal
from tidegate.core.query import parameters
from tidegate.core.steps import Steps
from tidegate.core.traceback import forget
from tidegate.delivery.broadcast import Broadcast, Broadcasts
from tidegate.delivery.compression import Gzip, accepts_gzip
from tidegate.delivery.pieces import KNOWN_BYTES, PIECE_BYTES, beginning, send_pieces
from tidegate.delivery.sse import Delivered
from tidegate.dialects.base import Dialect
from tidegate.dialects.native_socket_events import SocketDialects
from tidegate.errors import InvalidValue, StreamNotFound, TidegateError, TooManyReaders
from tidegate.gate.address import account_of, address_of
from tidegate.gate.auth import Authenticator
from tidegate.gate.connections import Connections
from tidegate.gate.limits import Charge, charge
from tidegate.gate.reconnect import answer_reconnect
from tidegate.gate.route_policy import ROUTE, scopes_of
from tidegate.observe.base import Observer
from tidegate.observe.metrics.deliveries import Deliveries
from tidegate.observe.metrics.series import Series
from tidegate.routes.nodes import Nodes
from tidegate.routes.withdrawal import Withdrawal
from tidegate.serving.fair_turns import in_turns
from tidegate.serving.http_framing import is_small
from tidegate.serving.long_body import alone_if_long
from tidegate.serving.registry import Connection, Registry, Transport
from tidegate.serving.request_body import Packed, receive_body
from tidegate.serving.wire import wire_of
from tidegate.stores.records import Claim
from tidegate.streams.reader import Reader
from tidegate.streams.service import Service

T = TypeVar("T")
State = TypeVar("State")

LAST_EVENT_ID = "Last-Event-ID"
JSON = "application/json"

SMALL_BODY = 16 * 1024
"""The limit of bodies with a single field: a reason of 1,024 characters in escapes fits, or the longest token twice."""

CREDIT_BYTES = 65536
"""The largest body that is read when the caller has reached its limit of requests. A producer's append is a few tokens;
parsing so much takes less than a millisecond."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What handlers need besides the call itself.

    `compression`: whether events are compressed for clients that ask for it; `describe` makes the OpenAPI document;
    `scrape` reads all that is measured, where that may be read; `sse` and `websocket` measure what is delivered.
    """

    service: Service
    authenticator: Authenticator
    registry: Registry
    withdrawal: Withdrawal
    nodes: Nodes
    connections: Connections
    heartbeat_seconds: float
    max_connection_seconds: float
    buffer_bytes: int
    compression: bool
    broadcasts: Broadcasts
    socket_dialects: SocketDialects
    requests: Buckets | None
    observer: Observer
    scrape: Callable[[], Awaitable[Sequence[Series]]] | None
    sse: Deliveries
    websocket: Deliveries
    max_body_bytes: int
    request_timeout_seconds: float
    batch: BatchPolicy
    public_url: str
    describe: Callable[[], bytes]


class Call:
    """The request of one caller. `params` are the parameters of the path."""

    def __init__(self, context: Context, scope: Scope, receive: Receive, send: Send, principal: Principal) -> None:
        self.context = context
        self.service = context.service
        self.principal = principal
        self.receive = receive
        self.send = send
        self.wire = wire_of(scope)
        self._begun = False
        self.params: dict[str, str] = scope.get("path_params", {})
        self._scope = scope

    @property
    def request_id(self) -> str:
        return self._scope["tidegate.request_id"]

    @property
    def base(self) -> str:
        """The base of links: the public URL, else the path that the application is mounted at."""
        return self.context.public_url or quote(self._scope.get("root_path", ""))

    @property
    def url(self) -> str:
        """The base as an absolute URL: the public URL, else one with the host of this request."""
        if self.context.public_url:
            return self.context.public_url
        host = self.header(b"host") or "localhost"
        return f"{self._scope['scheme']}://{host}{self.base}"

    @property
    def account(self) -> str:
        """The account that work for this caller is charged to."""
        return self.principal.account or self.address_account

    @property
    def address_account(self) -> str:
        """The account of the caller's address, for callers without valid credentials."""
        return account_of(self._scope)

    @property
    def address(self) -> str:
        """The caller's address, as trusted proxies report it."""
        return address_of(self._scope)

    @property
    def http_version(self) -> str:
        """The version in which the request arrived here, e.g. `1.1`."""
        return self._scope["http_version"]

    @property
    def scheme(self) -> str:
        """`http` or `https`, as trusted proxies report it."""
        return self._scope["scheme"]

    @property
    def is_head(self) -> bool:
        return self._scope["method"] == "HEAD"

    def header(self, name: bytes) -> str | None:
        """The value of a request header, its name in lower case."""
        return next((value.decode("latin-1") for key, value in self._scope["headers"] if key == name), None)

    def header_names(self) -> list[str]:
        """The names of all request headers, each once."""
        return list(dict.fromkeys(name.decode("latin-1") for name, _ in self._scope["headers"]))

    def position(self, query: Mapping[str, str]) -> tuple[str, str] | None:
        """The caller's position, and the name of the parameter that gives it; None where there is none.

        `Last-Event-ID` takes precedence. Polyfills of `EventSource` cannot set it: they add `lastEventId` to their
        first URL, which may have an older `after`. Raises `InvalidValue` where the header is given twice.
        """
        headers = [value for name, value in self._scope["headers"] if name == b"last-event-id"]
        if len(headers) > 1:
            raise InvalidValue("the header `Last-Event-ID` is given twice", param=LAST_EVENT_ID)
        if headers and headers[0]:
            return headers[0].decode("latin-1"), LAST_EVENT_ID
        if query.get("lastEventId"):
            return query["lastEventId"], "lastEventId"
        return (query["after"], "after") if "after" in query else None

    def query(self) -> dict[str, str]:
        """The query's parameters. Raises `InvalidValue` for one that is given twice."""
        found: dict[str, str] = {}
        for name, value in parameters(self._scope["query_string"]):
            if name in found:
                raise InvalidValue(f"the query parameter {name[:64]!r} is given twice", param=name[:64])
            found[name] = value
        return found

    async def small_body(self) -> bytes:
        """The request's body where it has a single field: at most `SMALL_BODY` bytes; raises as `read`."""
        packed = await self._receive_body(min(SMALL_BODY, self.context.max_body_bytes))
        body = await self.in_turns(packed.unpacked())
        self.principal = self.context.authenticator.again(self._scope)
        return body

    async def read(self, parse: Callable[[bytes], Steps[T]]) -> T:
        """Reads and parses the request's body, within its limits; a long body is decompressed only in its turn.

        Raises as `Authenticator.again` does, which is asked last: nothing is done for a key that has gone meanwhile.
        """
        packed = await self._receive_body(self.context.max_body_bytes)
        keep = None if self.wire is None else self.wire.keep
        async with alone_if_long(len(packed.sent), self.account, most=packed.most, keep=keep):
            found = await self.in_turns(parse(await self.in_turns(packed.unpacked())))
        self.principal = self.context.authenticator.again(self._scope)
        return found

    def in_turns(self, steps: Steps[T]) -> Awaitable[T]:
        """Does work for this caller, a little in each turn of the loop; returns its result."""
        return in_turns(steps, self.account)

    def _receive_body(self, max_bytes: int) -> Awaitable[Packed]:
        seconds = self.context.request_timeout_seconds
        return receive_body(self._scope, self.receive, max_bytes=max_bytes, timeout_seconds=seconds)

    def delivered(
        self,
        headers: dict[str, str],
        stream: str,
        dialect: Dialect[State],
        state: State,
        *,
        together: bool,
        first: bytes = b"",
        pieces: AsyncGenerator[bytes] | None = None,
    ) -> Delivered:
        """How to deliver events to this caller, from the position of the dialect's `state`.

        `together`: whether the stream's readers at its tail share a broadcast, since they may be many.
        """
        gzip: Gzip | None = None
        broadcast: Broadcast | None = None
        if self.context.compression:
            headers = {**headers, "vary": "accept-encoding"}
            if accepts_gzip(self.header(b"accept-encoding")):
                gzip = Gzip()
        if together and (self.wire is None or self.wire.chunked):
            broadcast = self.context.broadcasts.of(stream, dialect, self.context.sse, compressed=gzip is not None)
        return Delivered(
            dialect=dialect,
            state=state,
            headers=raw_headers(headers),
            heartbeat_seconds=self.context.heartbeat_seconds,
            buffer_bytes=self.context.buffer_bytes,
            meter=self.context.sse,
            gzip=gzip,
            broadcast=broadcast,
            first=first,
            pieces=pieces,
        )

    def connected(self, reader: Reader, transport: Transport) -> Connection:
        """Registers this call, as a context manager around its answer that closes the reader at its end."""
        connection = self.context.registry.open(
            transport=transport,
            address=self.address,
            principal=self.principal,
            enough=scopes_of(self._scope[ROUTE]),
            wire=self.wire,
        )
        connection.attach(reader.stream, reader)
        # The caller's key may have been withdrawn since it was looked at, while the body arrived.
        self.context.withdrawal.look_at(connection)
        return connection

    def detach(self) -> Detached | None:
        """Detaches the answer, which then goes on when the handler has returned; None where that is not possible."""
        return detach(self._scope)

    def charge(self) -> Charge:
        """Counts a request of a route that the gate does not count. Raises `RateLimited`.

        Past the limit, a small body is still read, on credit, in case the request need not count. A larger one, or one
        of unknown size, is refused by its head alone.
        """
        credit = is_small(self._scope["headers"], CREDIT_BYTES)
        return charge(self.context.requests, self.principal.account, monotonic(), credit=credit)

    def stream(self) -> str:
        """The stream that the path names. Raises `StreamNotFound` for what can be no id: headers carry it."""
        stream = self.params["id"]
        if not (stream.isascii() and stream.isprintable()):
            raise StreamNotFound(f"there is no stream {stream[:64]!r}")
        self.about(stream)
        return stream

    def about(self, stream: str) -> None:
        """Notes the stream that the call is about, for the log."""
        self._scope["tidegate.stream_id"] = stream

    async def answer_json(self, value: object, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        """Answers with a JSON body."""
        await self.answer(msgspec.json.encode(value), JSON, status=status, headers=headers)

    async def answer_pieces(
        self,
        pieces: AsyncGenerator[bytes],
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        seated: bool = False,
    ) -> None:
        """Answers with JSON in pieces. The client of a long answer counts as a reader, unless it is `seated` already.

        Raises `TooManyReaders`.
        """
        async with aclosing(pieces):
            body, more = await beginning(pieces)
            fields = {"content-type": JSON, **(headers or {})}
            if not more:
                await self.answer(body, JSON, status=status, headers=dict(headers or {}))
                return
            with nullcontext() if seated else self.service.seat(self.principal):
                await self._start(status, fields)
                if not self.is_head:
                    await send_pieces(self.receive, self.send, _after(body, pieces), self.wire)
                await self.send({"type": "http.response.body", "body": b""})

    def refused(self, error: TidegateError) -> None:
        """Notes the error with which this call is answered, for the log and what is measured."""
        self._scope[REFUSED] = error.code

    async def answer_error(self, error: TidegateError, *, headers: dict[str, str]) -> None:
        """Answers with an error, and its headers besides these. Raises the error if an answer has begun already."""
        if self._begun:
            raise error
        forget(error)
        self.refused(error)
        await self.answer(
            msgspec.json.encode(error.body(self.request_id)),
            JSON,
            status=error.status,
            headers={**headers, **error_headers(error, self.request_id)},
        )

    def answer_reconnect(self, error: TooManyReaders) -> Awaitable[None]:
        """Tells an `EventSource` to reconnect; it would give up on the error."""
        return answer_reconnect(self._scope, self.send, error.retry_after or 0, error.code)

    async def answer(
        self, body: bytes, content_type: str, *, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        """Answers with a whole body; to HEAD without it."""
        fields = {"content-type": content_type, "content-length": str(len(body)), **(headers or {})}
        await self._start(status, fields)
        if len(body) > KNOWN_BYTES and not self.is_head:
            await send_pieces(self.receive, self.send, _cut(body), self.wire)
            body = b""
        await self.send({"type": "http.response.body", "body": b"" if self.is_head else body})

    async def answer_empty(self, *, status: int = 204, headers: dict[str, str] | None = None) -> None:
        """Answers without a body: 204 or 304."""
        await self._start(status, headers or {})
        await self.send({"type": "http.response.body", "body": b""})

    async def _start(self, status: int, fields: dict[str, str]) -> None:
        self._begun = True
        await self.send({"type": "http.response.start", "status": status, "headers": raw_headers(fields)})


def error_headers(error: TidegateError, request_id: str) -> dict[str, str]:
    """The headers of an error, without those of its body."""
    fields = {name.decode(): value.decode() for name, value in error_response(error, request_id).headers}
    return {name: value for name, value in fields.items() if name not in ("content-length", "content-type")}


async def _cut(body: bytes) -> AsyncGenerator[bytes]:
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]


async def _after(first: bytes, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    yield first
    async for piece in pieces:
        yield piece


def raw_headers(fields: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """The headers in ASGI's form."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields.items()]


def parse_number(text: str | None, *, param: str, default: int, low: int, high: int) -> int:
    """A whole number from the query. Raises `InvalidValue` outside its bounds."""
    if text is None:
        return default
    if text.isascii() and text.isdigit() and len(text) < 10 and low <= int(text) <= high:
        return int(text)
    raise InvalidValue(f"`{param}` is a whole number from {low} to {high}, not {text[:64]!r}", param=param)


def parse_choice(text: str | None, choices: tuple[Any, ...], *, param: str) -> Any:
    """One of a few words from the query, or None. Raises `InvalidValue`."""
    if text is None or text in choices:
        return text
    raise InvalidValue(f"`{param}` is one of {', '.join(choices)}, not {text[:64]!r}", param=param)


def check_flag(query: dict[str, str], name: str, value: str) -> None:
    """Checks a parameter of the query that can have only one value, or be absent. Raises `InvalidValue`."""
    if query.get(name, value) != value:
        raise InvalidValue(f"`{name}` can only be `{value}`, not {query[name][:64]!r}", param=name)


async def claim_of(call: Call, operation: str, identity: Steps[bytes]) -> Claim | None:
    """The claim that the call's `Idempotency-Key` makes, for its principal and operation. Raises `InvalidValue`."""
    key = call.header(b"idempotency-key")
    return None if key is None else await claim(call.principal, operation, key, identity, param="Idempotency-Key")


async def claim(principal: Principal, operation: str, key: str, identity: Steps[bytes], *, param: str) -> Claim:
    """The claim of an idempotency key: it stands for a body of this `identity`. Raises `InvalidValue`."""
    if not (1 <= len(key) <= 255 and all("!" <= character <= "~" for character in key)):
        raise InvalidValue("the key is 1 to 255 visible ASCII characters", param=param)
    return Claim(f"{principal.name} {operation} {key}", await in_turns(identity, principal.account))
