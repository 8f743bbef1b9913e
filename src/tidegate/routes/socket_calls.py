"""What can be asked over a WebSocket, op by op."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple, Protocol

import msgspec

from tidegate.core.batching import BatchPolicy
from tidegate.core.notices import CAPACITY, DRAINING, TOKEN_EXPIRED, Reconnect
from tidegate.core.principal import Principal, Scope
from tidegate.dialects import native_socket as dialect
from tidegate.dialects import native_topic
from tidegate.dialects.identity import identity
from tidegate.dialects.native_producer import Lease
from tidegate.dialects.native_socket import Codec
from tidegate.dialects.native_socket_events import SocketEvents
from tidegate.errors import AlreadyAttached, AnotherPrincipal, TidegateError
from tidegate.gate.limits import take_request
from tidegate.routes.call import Context, claim
from tidegate.routes.socket_rights import FOUND, STARTED, TOPIC, covers
from tidegate.streams.reader import Reader
from tidegate.transports.attachment import Attachment, Key
from tidegate.transports.registry import Connection
from tidegate.transports.socket import Socket, SocketClosed
from tidegate.transports.ws_wire import SocketWire

NEEDS: dict[str, Scope] = {
    "create": "generate",
    "attach": "read",
    "cancel": "cancel",
    "subscribe": "subscribe",
    "publish": "publish",
    "presence": "subscribe",
}
"""The scope of each op; those that are not here take none. They count as requests where they change nothing: a ping,
new credentials, leaving what is not followed."""


SNAPSHOT_BYTES = 1 << 20
"""Of the log: what a snapshot of a longer one would take waits whole, and is more than many a client takes as one
message. It is taken at the beginning then, and the rest follows as events."""

AGAIN_MS = 1000
"""When to attach anew what broke: a store that could not read may be able to by then."""


class Desk(Protocol):
    """What the calls need of their session."""

    context: Context
    codec: Codec
    socket: Socket
    scope: MutableMapping[str, Any]
    wire: SocketWire | None
    principal: Principal | None
    connection: Connection

    @property
    def caller(self) -> Principal:
        """Who is calling. Raises `Unauthenticated` until that is known."""
        ...

    def admit(self, principal: Principal) -> None:
        """From here on this is who is calling."""
        ...

    async def send(self, value: object) -> None: ...

    async def refuse(self, id: dialect.CallId, error: Exception) -> None: ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Does it beside the calls that follow."""
        ...

    def failed(self, error: BaseException) -> None:
        """Something that should not happen did."""
        ...


class Followed(NamedTuple):
    """What a session follows, for as long as its caller has one of the scopes that are `enough`."""

    attachment: Attachment
    enough: frozenset[Scope]


class Calls:
    """Answers the calls of one session, and holds what it follows."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._service = desk.context.service
        self._attached: dict[Key, Followed] = {}

    async def answer(self, request: dialect.Request) -> None:
        """Does what is asked and sends the answer, before any event that follows from it. Raises `TidegateError`."""
        handlers: dict[type[dialect.Request], Callable[[Any], Awaitable[None]]] = {
            dialect.Create: self._create,
            dialect.Open: self._create,
            dialect.Attach: self._attach,
            dialect.Detach: self._detach,
            dialect.Cancel: self._cancel,
            dialect.Subscribe: self._subscribe,
            dialect.Unsubscribe: self._unsubscribe,
            dialect.Publish: self._publish,
            dialect.Presence: self._presence,
            dialect.Auth: self._auth,
            dialect.Ping: self._ping,
        }
        await handlers[type(request)](request)

    def close(self) -> None:
        """Follows nothing any more."""
        for attachment, _ in tuple(self._attached.values()):
            attachment.close()
            attachment.source.close()

    async def _create(self, wanted: dialect.Create | dialect.Open) -> None:
        if not wanted.attach:
            await self._ok(wanted.id, await self._made(wanted))
            return
        batch = self._desk.context.batch
        if isinstance(wanted, dialect.Create):
            batch = wanted.batch_policy(batch)
        with self._service.seat(self._viewer) as seat:
            made = await self._made(wanted)
            key: Key = ("stream", made["stream"])
            if key in self._attached:
                # A repeated call has led to what it has led to before.
                await self._ok(wanted.id, made)
                return
            reader = await self._service.follow(
                made["stream"],
                self._viewer,
                after=None,
                batch=batch,
                transport="websocket",
                seat=seat,
                max_seconds=self._max_seconds,
            )
        await self._begin(wanted.id, key, reader, made, batch, STARTED)

    async def _made(self, wanted: dialect.Create | dialect.Open) -> dict[str, Any]:
        """The stream and its beginning; its lease and its tail, too, where the caller fills it."""
        viewer, service, made = self._viewer, self._service, None
        if wanted.key is not None:
            made = await claim(viewer, "streams", wanted.key, identity(wanted.plain()), param="key")
        if isinstance(wanted, dialect.Create):
            stream = (await service.start(wanted.request(), owner=viewer, grace=wanted.grace(), claim=made)).stream
            return {"stream": stream, "cursor": str(await service.beginning(stream, viewer))}
        stream, token = await service.open_leased(wanted.metadata, owner=viewer, claim=made)
        lease = Lease.of(token, service.lease_seconds)
        offset = (await service.tail(stream)).offset
        cursor = await service.beginning(stream, viewer)
        return {"stream": stream, "cursor": str(cursor), "lease": lease, "offset": offset}

    async def _attach(self, wanted: dialect.Attach) -> None:
        viewer, stream, batch = self._viewer, wanted.stream, self._desk.context.batch
        self._check_free(("stream", stream))
        events = self._events(("stream", stream))
        after = events.position(wanted.after, param="after") if wanted.after is not None else None
        first: list[bytes] = []
        if wanted.snapshot:
            so_far, after = await self._service.snapshot_and_rest(stream, viewer, most=SNAPSHOT_BYTES)
            first = [events.snapshot(so_far, after)]
        elif await self._service.at_end(stream, viewer, after):
            await self._ok(wanted.id, {"stream": stream, "cursor": wanted.after, "ended": True})
            return
        begin = after or await self._service.beginning(stream, viewer)
        reader = await self._service.follow(
            stream, viewer, after=after, batch=batch, transport="websocket", max_seconds=self._max_seconds
        )
        await self._begin(wanted.id, ("stream", stream), reader, {"cursor": str(begin)}, batch, FOUND, first)

    async def _subscribe(self, wanted: dialect.Subscribe) -> None:
        key: Key = ("topic", wanted.topic)
        self._check_free(key)
        after = native_topic.parse_place(wanted.after)
        reader, begin = await self._service.topics.subscribe(
            wanted.topic, self._viewer, after=after, transport="websocket", max_seconds=self._max_seconds
        )
        found = {"cursor": str(begin.at), "state": self._desk.codec.embedded(begin.state)}
        await self._begin(wanted.id, key, reader, found, BatchPolicy(), TOPIC)

    async def _detach(self, wanted: dialect.Detach) -> None:
        await self._leave(wanted.id, ("stream", wanted.stream))

    async def _unsubscribe(self, wanted: dialect.Unsubscribe) -> None:
        await self._leave(wanted.id, ("topic", wanted.topic))

    async def _leave(self, id: dialect.CallId, key: Key) -> None:
        if key in self._attached:
            self._let_go(key)
        else:
            self._count()
        await self._ok(id, {})

    def _let_go(self, key: Key) -> None:
        attachment, _ = self._attached.pop(key)
        self._desk.connection.detach(key)
        attachment.close()
        attachment.source.close()

    def _count(self) -> None:
        """Counts a call that takes no scope, and does nothing for whoever repeats it. Raises `RateLimited`."""
        if self._desk.principal is not None:
            take_request(self._desk.context.requests, self._desk.principal.account, monotonic())

    async def _cancel(self, wanted: dialect.Cancel) -> None:
        # The end may take its time, and other calls must not wait for it.
        self._desk.spawn(self._cancelled(wanted))

    async def _cancelled(self, wanted: dialect.Cancel) -> None:
        try:
            status, cursor = await self._service.cancel(wanted.stream, self._viewer, wanted.reason)
            await self._ok(wanted.id, {"status": status, "cursor": str(cursor)})
        except SocketClosed:
            pass
        except Exception as error:
            with suppress(SocketClosed):
                await self._desk.refuse(wanted.id, error)

    async def _presence(self, wanted: dialect.Presence) -> None:
        present = self._service.topics.presence(wanted.topic, self._viewer)
        await self._ok(wanted.id, {"present": [native_topic.Present(*each) for each in present]})

    async def _ping(self, wanted: dialect.Ping) -> None:
        self._count()
        await self._ok(wanted.id, {})

    async def _publish(self, wanted: dialect.Publish) -> None:
        made = None
        if wanted.key is not None:
            said = native_topic.identity_of(wanted.type, wanted.state, wanted.data)
            made = await claim(self._viewer, f"topics {wanted.topic}", wanted.key, said, param="key")
        cursor = await self._service.topics.publish(
            wanted.topic, wanted.data, self._viewer, type=wanted.type, state=wanted.state, claim=made
        )
        await self._ok(wanted.id, {"cursor": str(cursor)})

    async def _auth(self, wanted: dialect.Auth) -> None:
        self._count()
        found = self._desk.context.authenticator.bearer(wanted.token, self._desk.scope)
        principal = await found if isinstance(found, Awaitable) else found
        known = self._desk.principal
        if known is not None and known.name != principal.name:
            raise AnotherPrincipal("An open connection stays its principal's: open another one.")
        self._desk.admit(principal)
        lost = [key for key in tuple(self._attached) if not await self._may_follow(principal, key)]
        for key in lost:
            self._withdraw(key)
        await self._ok(wanted.id, {"principal": principal.name})
        for key in lost:
            await self._desk.socket.send(self._told(key, Reconnect(AGAIN_MS, TOKEN_EXPIRED)))

    async def _may_follow(self, principal: Principal, key: Key) -> bool:
        followed = self._attached.get(key)
        return followed is None or await covers(self._service, principal, key, followed.enough)

    def _withdraw(self, key: Key) -> None:
        """Follows it no more, although its client would: that one may come back by other credentials."""
        if key not in self._attached:
            return
        reader = self._attached[key].attachment.source
        if isinstance(reader, Reader):
            self._service.audience.excuse(reader, TOKEN_EXPIRED)
            reader.told = True
        self._let_go(key)

    async def _begin(
        self,
        id: dialect.CallId,
        key: Key,
        reader: Reader,
        found: dict[str, Any],
        batch: BatchPolicy,
        enough: frozenset[Scope],
        first: list[bytes] | None = None,
    ) -> None:
        """Answers, and then delivers, for as long as the caller has one of the scopes that are `enough`."""
        kind, name = key
        try:
            await self._ok(id, {kind: name, **found})
            for message in first or ():
                await self._desk.socket.send(message)
        except BaseException:
            reader.close()
            raise
        attachment = Attachment(key, reader, self._ended)
        self._attached[key] = Followed(attachment, enough)
        self._desk.connection.attach(key, reader)
        self._deliver(attachment, key, batch)

    def _deliver(self, attachment: Attachment, key: Key, batch: BatchPolicy) -> None:
        context, wire = self._desk.context, self._desk.wire
        dialect = self._events(key)
        if wire is None:
            attachment.send(self._desk.socket, dialect, dialect.begin())
            return
        # Batches are each reader's own.
        together = context.broadcasts.of(key[1], dialect, compressed=False)
        attachment.deliver(
            wire,
            dialect,
            dialect.begin(),
            together if batch.max_tokens == 1 else None,
            buffer_bytes=context.buffer_bytes,
            heartbeat_seconds=context.heartbeat_seconds,
        )

    def _ended(self, attachment: Attachment, error: BaseException | None) -> None:
        key = attachment.key
        followed = self._attached.get(key)
        if followed is not None and followed.attachment is attachment:
            del self._attached[key]
            self._desk.connection.detach(key)
        reader = attachment.source
        if error is not None:
            if not isinstance(error, TidegateError):
                self._desk.failed(error)
            self._desk.spawn(self._broken(key))
        elif isinstance(reader, Reader) and reader.told and self._service.draining:
            self._desk.connection.drain(DRAINING)

    async def _broken(self, key: Key) -> None:
        """Nothing more comes of it on this attachment: its client may attach anew, and is told then if it cannot."""
        with suppress(SocketClosed):
            await self._desk.socket.send(self._told(key, Reconnect(AGAIN_MS, CAPACITY)))

    def _events(self, key: Key) -> SocketEvents:
        return self._desk.context.socket_dialects.of(*key, self._desk.codec)

    def _told(self, key: Key, notice: Reconnect) -> bytes:
        dialect = self._events(key)
        return dialect.message(dialect.begin(), notice)

    def _check_free(self, key: Key) -> None:
        if key in self._attached:
            raise AlreadyAttached(f"this connection follows {key[1][:128]!r} already")

    async def _ok(self, id: dialect.CallId, result: object) -> None:
        await self._desk.send(dialect.ok(id, result))

    @property
    def _max_seconds(self) -> float:
        return self._desk.context.max_connection_seconds

    @property
    def _viewer(self) -> Principal:
        """The caller, as readers have it: that its credentials expire is the connection's business."""
        return msgspec.structs.replace(self._desk.caller, expires_at=None)
