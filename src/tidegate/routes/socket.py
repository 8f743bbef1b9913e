"""The WebSocket at `/v1/ws`: authentication and the life of the connection; `socket_calls` answers the calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, MutableMapping, Sequence
from time import monotonic, time
from typing import Any, cast

from starlette.types import Message, Receive, Scope, Send

from tidegate.core.close_code import GOING_AWAY, MALFORMED, NOT_ALLOWED, TOO_LARGE, TOO_MANY, UNAUTHENTICATED
from tidegate.core.connection import TURNED_AWAY, ClientDisconnected
from tidegate.core.detached import Detached, detach
from tidegate.core.masking import masked
from tidegate.core.notices import TOKEN_EXPIRED
from tidegate.core.principal import Principal
from tidegate.core.traceback import forget
from tidegate.delivery.socket import Socket, SocketClosed
from tidegate.dialects import native_socket as dialect
from tidegate.dialects.native_socket import Codec
from tidegate.errors import (
    Forbidden,
    InternalError,
    MalformedMessage,
    Overloaded,
    RateLimited,
    TidegateError,
    TooManyConnections,
    Unauthenticated,
    Unavailable,
    UpgradeRequired,
)
from tidegate.gate.address import account_of, address_of
from tidegate.gate.limits import take_request
from tidegate.gate.route_policy import PRINCIPAL
from tidegate.observe.base import CallRefused, Failure
from tidegate.routes.call import Call, Context
from tidegate.routes.socket_calls import NEEDS, Calls
from tidegate.serving.fair_turns import in_turns
from tidegate.serving.long_body import alone_if_long
from tidegate.serving.registry import Connection
from tidegate.serving.ws_heart import Liveness
from tidegate.serving.ws_wire import socket_wire_of
from tidegate.streams.reader import Reader

SOCKET = "/v1/ws"

AUTH_SECONDS = 10.0
"""How long a client may take to authenticate; documented in the protocol."""

BEFORE_AUTH = 3
"""How many messages a socket takes before authentication, `auth` included."""

BEFORE_AUTH_BYTES = 4096
"""The size of each of these messages; a longer token has to come with the handshake."""

UNCOUNTED_BYTES = 4096
"""The largest message that is decoded before it is counted. So its refusal has the call's id, and calls that do not
count are not counted; decoding takes no longer than the refusal. Any larger message is counted first."""

MOST_REFUSED = 100
"""How many refused calls in a row close the socket: the client ignores its refusals."""

TOLERATED = 1
"""How many malformed messages are tolerated: one may be a mistake."""


class CallFailed(Exception):
    """The call with this id was well-formed, and failed because of the exception's `__cause__`."""

    def __init__(self, id: dialect.CallId, *, is_auth: bool) -> None:
        super().__init__()
        self.id = id
        self.is_auth = is_auth


async def refuse_http(call: Call) -> None:
    """Refuses a request without an upgrade."""
    raise UpgradeRequired("this path speaks WebSocket: connect with the subprotocol tidegate.v1")


class SocketResource:
    """The ASGI application at `SOCKET`: accepts WebSockets, and serves each until it is closed."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if TURNED_AWAY in scope:
            raise scope[TURNED_AWAY]
        codec, chosen = codec_of(scope["subprotocols"])
        socket = Socket(receive, send, binary=codec.binary)
        session = Session(self._context, scope, socket, codec)
        session.connection = self._context.registry.open(
            transport="websocket",
            address=address_of(scope),
            wire=session.wire,
            close=session.dismiss,
            renew=session.renew,
        )
        detached = None
        try:
            await socket.accept(chosen)
            await session.begin()
            detached = session.detach()
            if detached is None:
                await session.run()
        except SocketClosed:
            pass
        finally:
            if detached is None:
                session.stop()


def codec_of(offered: Sequence[str]) -> tuple[Codec, str | None]:
    """The codec of the first offered subprotocol that the server speaks, and its name; else JSON, and None."""
    chosen = next((name for name in offered if name in dialect.CODECS), None)
    return dialect.CODECS[chosen or dialect.Json.subprotocol], chosen


class Session:
    """One socket from its acceptance on. Calls are answered in order, except for those that may wait for long."""

    __slots__ = (
        "_calls",
        "_detached",
        "_expiry",
        "_malformed",
        "_refused",
        "_tasks",
        "codec",
        "connection",
        "context",
        "principal",
        "scope",
        "socket",
        "wire",
    )

    def __init__(self, context: Context, scope: MutableMapping[str, Any], socket: Socket, codec: Codec) -> None:
        self.context = context
        self.scope = scope
        self.socket = socket
        self.codec = codec
        self.wire = socket_wire_of(scope)
        self.principal: Principal | None = None
        self.connection: Connection
        self._calls = Calls(self)
        self._malformed = 0
        self._refused = 0
        self._expiry: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._detached: Detached | None = None

    @property
    def caller(self) -> Principal:
        if self.principal is None:
            raise Unauthenticated("No credentials were sent yet: begin with the op `auth`.")
        return self.principal

    async def begin(self) -> None:
        """Authenticates the caller. Raises `SocketClosed`."""
        if self.wire is not None:
            self.wire.on_liveness(self._on_liveness)
        self.connection.move("authenticating")
        await self._authenticate()
        self.connection.serve()

    async def run(self) -> None:
        """Answers calls until the client leaves or is sent away. Raises `SocketClosed`."""
        while True:
            await self._answer(await self.socket.receive())

    def detach(self) -> Detached | None:
        """Answers calls without a task that waits for them, where the server can call for each."""
        if self.wire is not None and (detached := detach(self.scope)) is not None:
            self._detached = detached
            detached.then(self._over)
            self.wire.ear.listen(self._hear)
            self.socket.sends(self.wire.ear.send)
        return self._detached

    async def _hear(self, message: Message) -> None:
        assert self._detached is not None
        try:
            await self._answer(await self.socket.content(message))
        except SocketClosed:
            self._detached.end()
        except Exception as error:
            self._detached.end(error)

    def _over(self, _: object, error: Exception | None) -> Exception | None:
        self.stop()
        return error

    def stop(self) -> None:
        """Cancels timers and tasks, ends all that the socket follows, and leaves the registry."""
        if self.wire is not None:
            self.wire.on_liveness(None)
        if self._expiry is not None:
            self._expiry.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        self._calls.close()
        self.connection.leave()

    # The `Desk` of its calls

    async def send(self, value: object) -> None:
        await self.socket.send(self.codec.encode(value))

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._tasks.remove)

    def dismiss(self, reason: str) -> None:
        """Asks the client to reconnect, by closing the socket."""
        self.close_soon(GOING_AWAY, reason)

    def renew(self, principal: Principal | None) -> None:
        """Goes on with what the caller may do from here on; where that is nothing any more, closes the socket."""
        if principal is None:
            # Calls that were heard already, and wait for those before them, are nobody's from here on.
            self.principal = None
            self.close_soon(UNAUTHENTICATED, TOKEN_EXPIRED)
        else:
            self.admit(principal)
            self.spawn(self._calls.narrow(principal))

    def close_soon(self, code: int, reason: str) -> None:
        """Closes the socket. Its streams count as still followed for a while, until the client has reconnected."""
        for reader in self.connection.readers:
            if isinstance(reader, Reader):
                self.context.service.readers.excuse(reader, reason)
        self.spawn(self.socket.close(code, reason))

    def failed(self, error: BaseException) -> None:
        request_id = self.scope.get("tidegate.request_id")
        self.context.observer.observe(Failure("websocket", error, request_id=request_id))

    def admit(self, principal: Principal) -> None:
        self.context.connections.enter(self.scope, principal)
        if self.wire is not None:
            self.wire.ear.known()
            self.wire.ear.hear(None)
        self.principal = principal
        self.scope[PRINCIPAL] = principal
        self.connection.principal = principal
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if (left := principal.valid_for(time())) is not None:
            self._expiry = asyncio.get_running_loop().call_later(left, self.renew, None)

    async def refuse(self, id: dialect.CallId | None, error: Exception) -> None:
        known = error if isinstance(error, TidegateError) else None
        if known is None:
            self.failed(error)
            known = InternalError("The server failed to answer this call. Its log has the details.")
        forget(error)
        # The text may repeat a name from the call.
        known.message = masked(known.message)
        self.context.observer.observe(CallRefused(known.code))
        await self.send(dialect.refusal(id, known, self.scope.get("tidegate.request_id")))
        if isinstance(known, RateLimited):
            self._refused += 1
            if self._refused > MOST_REFUSED:
                await self._leave(TOO_MANY, "too many calls")

    # Authentication

    async def _authenticate(self) -> None:
        """Authenticates the caller by the handshake, or by one of the first messages."""
        authenticator = self.context.authenticator
        try:
            found = authenticator.handshake(self.scope)
            self.admit(await found if isinstance(found, Awaitable) else found)
            return
        except Unauthenticated as error:
            if authenticator.presents(self.scope):
                await self._leave(*self._charged(error))
        except Unavailable as error:
            await self._leave(GOING_AWAY, error.code)
        except TooManyConnections as error:
            await self._leave(TOO_MANY, error.code)
        if self.wire is not None:
            self.wire.ear.hear(BEFORE_AUTH_BYTES)
        try:
            async with asyncio.timeout(AUTH_SECONDS):
                await self._hear_who()
        except TimeoutError:
            await self._leave(UNAUTHENTICATED, "no credentials in time")

    async def _hear_who(self) -> None:
        for _ in range(BEFORE_AUTH):
            message = await self.socket.receive()
            if len(message) > BEFORE_AUTH_BYTES:
                await self._leave(TOO_LARGE, "a message that is too large before auth")
            await self._answer(message)
            if self.principal is not None:
                return
        await self._leave(UNAUTHENTICATED, "no credentials in the first messages")

    def _charged(self, error: Unauthenticated) -> tuple[int, str]:
        """The close code and reason for failed authentication, which is counted for the client's address."""
        try:
            self.context.authenticator.failed(account_of(self.scope))
        except RateLimited as limited:
            return TOO_MANY, limited.code
        return UNAUTHENTICATED, error.code

    # Calls

    async def _answer(self, message: bytes) -> None:
        try:
            request = await self._heard(message)
            try:
                await self._calls.answer(request)
            except (SocketClosed, MalformedMessage):
                raise
            except Exception as error:
                raise CallFailed(request.id, is_auth=isinstance(request, dialect.Auth)) from error
        except MalformedMessage as error:
            await self._refuse_message(error)
        except (RateLimited, Overloaded, Unauthenticated) as error:
            await self.refuse(None, error)
        except ClientDisconnected:
            raise SocketClosed from None
        except CallFailed as failed:
            await self._refuse_call(failed)

    async def _refuse_call(self, failed: CallFailed) -> None:
        error = cast("Exception", failed.__cause__)
        await self.refuse(failed.id, error)
        if isinstance(error, Unauthenticated) and failed.is_auth:
            await self._leave(*self._charged(error))
        elif isinstance(error, Forbidden) and failed.is_auth:
            await self._leave(NOT_ALLOWED, error.code)
        elif isinstance(error, TooManyConnections):
            await self._leave(TOO_MANY, error.code)

    async def _heard(self, message: bytes) -> dialect.Request:
        """Decodes a message into a call; a long message only in its turn.

        Raises `MalformedMessage`, `RateLimited`, `Overloaded`, `ClientDisconnected` or `CallFailed`.
        """
        size, wire = len(message), self.wire
        counted = size > UNCOUNTED_BYTES
        if counted:
            self._count()
        account = account_of(self.scope) if self.principal is None else self.principal.account
        async with alone_if_long(size, account, most=size, keep=None if wire is None else wire.keep):
            id, op, content = await in_turns(dialect.parse(self.codec, message), account)
            try:
                request = await in_turns(dialect.request(self.codec, op, content), account)
                self._check(op, counted=counted)
            except TidegateError as error:
                raise CallFailed(id, is_auth=op == "auth") from error
            return request

    def _check(self, op: str, *, counted: bool) -> None:
        """Checks the caller's scope and limit. Raises `Unauthenticated`, `Forbidden` or `RateLimited`."""
        scope = NEEDS.get(op)
        if scope is None:
            return
        if not self.caller.has(scope):
            raise Forbidden(f"These credentials lack the scope {scope!r}.")
        if not counted:
            self._count()

    def _count(self) -> None:
        """Counts a request. Raises `RateLimited`."""
        take_request(self.context.requests, self.caller.account, monotonic())
        self._refused = 0

    async def _refuse_message(self, error: MalformedMessage) -> None:
        self._malformed += 1
        await self.refuse(None, error)
        if self._malformed > TOLERATED:
            await self._leave(MALFORMED, "a second malformed message")

    async def _leave(self, code: int, reason: str) -> None:
        await self.socket.close(code, reason)
        raise SocketClosed

    def _on_liveness(self, liveness: Liveness) -> None:
        self.connection.seems(liveness.value)
