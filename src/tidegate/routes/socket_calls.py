"""Answers the calls of a WebSocket, by op."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

from tidegate.core.batching import BatchPolicy
from tidegate.core.notices import TOKEN_EXPIRED
from tidegate.core.principal import Principal, Scope
from tidegate.delivery.attachment import Key
from tidegate.delivery.socket import SocketClosed
from tidegate.dialects import native_socket as dialect
from tidegate.dialects import native_topic
from tidegate.dialects.identity import identity
from tidegate.dialects.native_producer import Lease
from tidegate.errors import AnotherPrincipal
from tidegate.gate.limits import take_request
from tidegate.routes.call import claim
from tidegate.routes.socket_desk import Desk, viewer
from tidegate.routes.socket_follows import Follows
from tidegate.routes.socket_rights import FOUND, STARTED, TOPIC

NEEDS: dict[str, Scope] = {
    "create": "generate",
    "attach": "read",
    "cancel": "cancel",
    "subscribe": "subscribe",
    "publish": "publish",
    "presence": "subscribe",
}
"""The scope of each op; other ops need none. These count as requests only where they change nothing: a ping, new
credentials, leaving a stream that is not followed."""


SNAPSHOT_BYTES = 1 << 20
"""The largest log whose snapshot is sent: that is one message, held in memory as a whole. For a longer log the snapshot
is empty, as at the beginning, and the log follows as events."""


class Calls:
    """Answers the calls of one session."""

    __slots__ = ("_desk", "_follows", "_service")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._service = desk.context.service
        self._follows = Follows(desk)

    async def answer(self, request: dialect.Request) -> None:
        """Executes a call and sends its answer, before any event that follows from it. Raises `TidegateError`."""
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
        """Ends all that the session follows."""
        self._follows.close()

    async def narrow(self, principal: Principal) -> None:
        """Ends what the principal may not follow any more, and tells the client."""
        lost = await self._follows.narrow(principal)
        with suppress(SocketClosed):
            await self._tell(lost)

    async def _create(self, wanted: dialect.Create | dialect.Open) -> None:
        if not wanted.attach:
            await self._ok(wanted.id, await self._made(wanted))
            return
        batch = self._desk.context.batch
        if isinstance(wanted, dialect.Create):
            batch = wanted.batch_policy(batch)
        asked = self._viewer
        with self._service.seat(asked) as seat:
            made = await self._made(wanted)
            key: Key = ("stream", made["stream"])
            if key in self._follows:
                # A repeated call gets the same answer, and the socket follows the stream already.
                await self._ok(wanted.id, made)
                return
            reader = await self._service.follow(
                made["stream"],
                asked,
                after=None,
                batch=batch,
                transport="websocket",
                seat=seat,
                max_seconds=self._max_seconds,
            )
            async with self._follows.opened(key, reader, STARTED, batch, asked=asked):
                await self._ok(wanted.id, made)

    async def _made(self, wanted: dialect.Create | dialect.Open) -> dict[str, Any]:
        """Creates the stream. Returns its id and first cursor; for a client stream the lease and last offset, too."""
        service, made = self._service, None
        if wanted.key is not None:
            made = await claim(self._viewer, "streams", wanted.key, identity(wanted.plain()), param="key")
        owner = self._viewer
        if isinstance(wanted, dialect.Create):
            stream = (await service.start(wanted.request(), owner=owner, grace=wanted.grace(), claim=made)).stream
            return {"stream": stream, "cursor": str(await service.beginning(stream, owner))}
        stream, token = await service.open_client_stream(wanted.metadata, owner=owner, claim=made)
        lease = Lease.of(token, service.lease_seconds)
        offset = (await service.tail(stream)).offset
        cursor = await service.beginning(stream, owner)
        return {"stream": stream, "cursor": str(cursor), "lease": lease, "offset": offset}

    async def _attach(self, wanted: dialect.Attach) -> None:
        asked, stream, batch = self._viewer, wanted.stream, self._desk.context.batch
        key: Key = ("stream", stream)
        self._follows.check_free(key)
        events, first = self._follows.dialect(key), None
        after = events.position(wanted.after, param="after") if wanted.after is not None else None
        if wanted.snapshot:
            so_far, after = await self._service.snapshot_and_rest(stream, asked, most=SNAPSHOT_BYTES)
            first = events.snapshot(so_far, after)
        elif after is not None and await self._service.at_end(stream, asked, after):
            await self._ok(wanted.id, {"stream": stream, "cursor": wanted.after, "ended": True})
            return
        begin = after or await self._service.beginning(stream, asked)
        reader = await self._service.follow(
            stream,
            asked,
            after=after,
            batch=batch,
            transport="websocket",
            max_seconds=self._max_seconds,
            resumed=wanted.after is not None and not wanted.snapshot,
        )
        async with self._follows.opened(key, reader, FOUND, batch, asked=asked):
            await self._ok(wanted.id, {"stream": stream, "cursor": str(begin)})
            if first is not None:
                await self._desk.socket.send(first)

    async def _subscribe(self, wanted: dialect.Subscribe) -> None:
        asked = self._viewer
        key: Key = ("topic", wanted.topic)
        self._follows.check_free(key)
        after = native_topic.parse_place(wanted.after)
        reader, begin = await self._service.topics.subscribe(
            wanted.topic, asked, after=after, transport="websocket", max_seconds=self._max_seconds
        )
        async with self._follows.opened(key, reader, TOPIC, BatchPolicy(), asked=asked):
            state = self._desk.codec.embedded(begin.state)
            await self._ok(wanted.id, {"topic": wanted.topic, "cursor": str(begin.at), "state": state})

    async def _detach(self, wanted: dialect.Detach) -> None:
        await self._leave(wanted.id, ("stream", wanted.stream))

    async def _unsubscribe(self, wanted: dialect.Unsubscribe) -> None:
        await self._leave(wanted.id, ("topic", wanted.topic))

    async def _leave(self, id: dialect.CallId, key: Key) -> None:
        if key in self._follows:
            self._follows.let_go(key)
        else:
            self._count()
        await self._ok(id, {})

    def _count(self) -> None:
        """Counts a call that needs no scope. Raises `RateLimited`."""
        if self._desk.principal is not None:
            take_request(self._desk.context.requests, self._desk.principal.account, monotonic())

    async def _cancel(self, wanted: dialect.Cancel) -> None:
        # The end may take a while, and further calls must not wait for it.
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
        lost = await self._follows.narrow(principal)
        await self._ok(wanted.id, {"principal": principal.name})
        await self._tell(lost)

    async def _tell(self, lost: Sequence[Key]) -> None:
        for key in lost:
            await self._follows.tell(key, TOKEN_EXPIRED)

    async def _ok(self, id: dialect.CallId, result: object) -> None:
        await self._desk.send(dialect.ok(id, result))

    @property
    def _max_seconds(self) -> float:
        return self._desk.context.max_connection_seconds

    @property
    def _viewer(self) -> Principal:
        return viewer(self._desk)
