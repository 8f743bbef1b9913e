"""The streams and topics that one WebSocket follows: registers, delivers and closes their readers, as `answering` does.

A socket first answers the call, then delivers, many streams and topics at a time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

from tidegate.core.batching import BatchPolicy
from tidegate.core.notices import CAPACITY, DRAINING, TOKEN_EXPIRED, Reconnect
from tidegate.core.principal import Principal, Scope
from tidegate.delivery.attachment import Attachment, Key
from tidegate.delivery.socket import SocketClosed
from tidegate.dialects.native_socket_events import SocketEvents
from tidegate.errors import AlreadyAttached, TidegateError
from tidegate.routes.socket_desk import Desk, viewer
from tidegate.routes.socket_rights import covers
from tidegate.streams.reader import Reader

AGAIN_MS = 1000
"""When a client is to attach again after a failure: a store that could not be read may have recovered by then."""


class Followed(NamedTuple):
    """One followed stream or topic. The caller has to keep one of the scopes in `enough`."""

    attachment: Attachment
    enough: frozenset[Scope]


class Follows:
    """The streams and topics that one session follows."""

    __slots__ = ("_desk", "_followed", "_service")

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._service = desk.context.service
        self._followed: dict[Key, Followed] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._followed

    def check_free(self, key: Key) -> None:
        """Raises `AlreadyAttached` if the session follows it already."""
        if key in self._followed:
            raise AlreadyAttached(f"this connection follows {key[1][:128]!r} already")

    def dialect(self, key: Key) -> SocketEvents:
        """The dialect in which this session gets the events of a stream or topic."""
        return self._desk.context.socket_dialects.of(*key, self._desk.codec)

    @asynccontextmanager
    async def opened(
        self, key: Key, reader: Reader, enough: frozenset[Scope], batch: BatchPolicy, *, asked: Principal
    ) -> AsyncGenerator[None]:
        """Registers the reader, and delivers from the end of the block on, within which the call is to be answered.

        Any failure in the block closes the reader. `asked` is who has asked for it: where the caller may do something
        else by then, and that does not cover it any more, the client is told so, and nothing is delivered.
        """
        self._desk.connection.attach(key, reader)
        try:
            yield
        except BaseException:
            self._desk.connection.detach(key)
            reader.close()
            raise
        attachment = Attachment(key, reader, self._ended)
        self._followed[key] = Followed(attachment, enough)
        # A change from here on finds what is followed; it has not seen what was not there yet.
        if viewer(self._desk) != asked and not await self._may_follow(self._desk.caller, key):
            self._withdraw(key)
            await self.tell(key, TOKEN_EXPIRED)
        if key in self._followed:
            self._deliver(attachment, batch)

    def let_go(self, key: Key) -> None:
        """Stops following a stream or topic."""
        attachment, _ = self._followed.pop(key)
        self._desk.connection.detach(key)
        attachment.close()
        attachment.reader.close()

    async def narrow(self, principal: Principal) -> list[Key]:
        """Stops following what the new credentials, which may be narrower, do not cover.

        Returns the keys, of which the client is to be told: it may attach again with other credentials.
        """
        lost = [key for key in tuple(self._followed) if not await self._may_follow(principal, key)]
        for key in lost:
            self._withdraw(key)
        return lost

    async def tell(self, key: Key, reason: str) -> None:
        """Asks the client to attach again. Raises `SocketClosed`."""
        dialect = self.dialect(key)
        await self._desk.socket.send(dialect.message(dialect.begin(), Reconnect(AGAIN_MS, reason)))

    def close(self) -> None:
        """Ends all that the session follows."""
        for attachment, _ in tuple(self._followed.values()):
            attachment.close()
            attachment.reader.close()

    async def _may_follow(self, principal: Principal, key: Key) -> bool:
        followed = self._followed.get(key)
        return followed is None or await covers(self._service, principal, key, followed.enough)

    def _withdraw(self, key: Key) -> None:
        if key not in self._followed:
            return
        reader = self._followed[key].attachment.reader
        if isinstance(reader, Reader):
            self._service.readers.excuse(reader, TOKEN_EXPIRED)
            reader.told = True
        self.let_go(key)

    def _deliver(self, attachment: Attachment, batch: BatchPolicy) -> None:
        context, wire = self._desk.context, self._desk.wire
        dialect = self.dialect(attachment.key)
        if wire is None:
            attachment.send(self._desk.socket, dialect, dialect.begin(), context.websocket)
            return
        # Readers with batches of their own cannot share a broadcast.
        together = batch.max_tokens == 1
        of = context.broadcasts.of
        attachment.deliver(
            wire,
            dialect,
            dialect.begin(),
            of(attachment.key[1], dialect, context.websocket, compressed=False) if together else None,
            buffer_bytes=context.buffer_bytes,
            heartbeat_seconds=context.heartbeat_seconds,
            meter=context.websocket,
        )

    def _ended(self, attachment: Attachment, error: BaseException | None) -> None:
        key = attachment.key
        followed = self._followed.get(key)
        if followed is not None and followed.attachment is attachment:
            del self._followed[key]
            self._desk.connection.detach(key)
        reader = attachment.reader
        if error is not None:
            if not isinstance(error, TidegateError):
                self._desk.failed(error)
            self._desk.spawn(self._broken(key))
        elif isinstance(reader, Reader) and reader.told and self._service.draining:
            self._desk.connection.drain(DRAINING)

    async def _broken(self, key: Key) -> None:
        """Tells the client that an attachment has failed: it may attach again, and gets the error if that fails."""
        with suppress(SocketClosed):
            await self.tell(key, CAPACITY)
