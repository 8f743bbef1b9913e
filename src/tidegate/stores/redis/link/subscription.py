"""A node's one subscription to a Redis server: any number of channels on one connection.

Messages are lost while the connection is broken. So whoever subscribes is told each time that it has begun to hear the
channel: it has to read what it may have missed then, and not before.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, cast

from redis.asyncio.connection import Connection
from redis.exceptions import RedisError

from tidegate.stores.redis.link.connecting import Opened, closed, stopped
from tidegate.stores.redis.link.lane import ANSWER_SECONDS, BACKOFF_SECONDS

PING_SECONDS = 1.0
"""The longest silence before the connection is asked whether it lives: readers on it would wait for news in vain."""

MOST_SILENCE_SECONDS = PING_SECONDS + ANSWER_SECONDS
"""A connection that is silent for longer is dead."""

CHANNELS_AT_ONCE = 500
"""Channels in one command, after a reconnect: Redis subscribes to so many in a millisecond."""

logger = logging.getLogger("tidegate.stores")


class Listener(Protocol):
    """What a channel's messages are for."""

    def heard(self, message: bytes) -> None:
        """A message came. It must be quick and must not raise."""
        ...

    def listens(self) -> None:
        """From now on messages come; those of the time before may be lost."""
        ...


class Subscription:
    """The channels of one server. `sharded` channels are those of one server of a cluster (SSUBSCRIBE, Redis 7).

    `broken` is called whenever the server is not heard, or says that a channel belongs to another one.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Opened]], *, broken: Callable[[], None], sharded: bool = False
    ) -> None:
        self.run = ""
        self._connect = connect
        self._broken = broken
        self._prefix = "S" if sharded else ""
        self._listeners: dict[bytes, Listener] = {}
        # How many answers to SUBSCRIBE are to come, by channel: only the last one counts.
        self._asked: dict[bytes, int] = {}
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._writing: set[asyncio.Task[None]] = set()

    @property
    def channels(self) -> int:
        """How many channels have a listener."""
        return len(self._listeners)

    def add(self, channel: str, listener: Listener) -> None:
        """Listens to a channel, which has no listener yet."""
        name = channel.encode()
        self._listeners[name] = listener
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        else:
            self._subscribe((name,))

    def remove(self, channel: str) -> None:
        """Listens to the channel no longer."""
        name = channel.encode()
        if self._listeners.pop(name, None) is not None:
            self._send("UNSUBSCRIBE", (name,))

    def leave(self) -> None:
        """Connects anew: the server may be no master any more, and hear nothing."""
        if self._connection is not None:
            self._begin(self._connection.disconnect(nowait=True))

    async def close(self) -> None:
        """Closes the connection and forgets all channels."""
        task, self._task = self._task, None
        self._listeners.clear()
        if task is not None:
            await stopped(task)

    async def _run(self) -> None:
        while True:
            try:
                await self._listen()
            except (RedisError, OSError) as error:
                logger.debug("the subscription to Redis broke: %s", error)
            except Exception:
                # A bug must not leave readers without news for ever.
                logger.exception("the subscription to Redis failed, and begins anew")
            self._broken()
            await asyncio.sleep(BACKOFF_SECONDS[min(self._failures, len(BACKOFF_SECONDS) - 1)])
            self._failures += 1

    async def _listen(self) -> None:
        """Hears all channels until the connection breaks, which it tells by raising."""
        opened = await self._connect()
        connection, self.run = opened.connection, opened.run
        try:
            self._asked.clear()
            self._connection = connection
            self._heard_at = asyncio.get_running_loop().time()
            self._beat(connection)
            self._subscribe(tuple(self._listeners))
            async with asyncio.timeout(MOST_SILENCE_SECONDS) as silence:
                while True:
                    message = cast("list[Any] | bytes", await connection.read_response(disconnect_on_error=False))
                    self._heard_at = asyncio.get_running_loop().time()
                    silence.reschedule(self._heard_at + MOST_SILENCE_SECONDS)
                    # Where nothing is subscribed to any more, a PING is answered as on any other connection.
                    if isinstance(message, list):
                        self._take(message)
                    self._failures = 0
        finally:
            self._connection = None
            if self._timer is not None:
                self._timer.cancel()
            await closed(connection)

    def _beat(self, connection: Connection) -> None:
        """Asks a server that says nothing whether it lives."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._heard_at >= PING_SECONDS:
            self._write(connection, ("PING",))
        self._timer = loop.call_later(PING_SECONDS, self._beat, connection)

    def _take(self, message: list[Any]) -> None:
        kind, name = message[0], message[1]
        if kind.endswith(b"message") and (listener := self._listeners.get(name)):
            listener.heard(message[2])
        elif kind.endswith(b"unsubscribe"):
            if name in self._listeners and name not in self._asked:
                # The channel's slot has moved to another master.
                self._broken()
        elif kind.endswith(b"subscribe"):
            left = self._asked[name] = self._asked.get(name, 1) - 1
            if left <= 0:
                del self._asked[name]
                if listener := self._listeners.get(name):
                    listener.listens()

    def _subscribe(self, names: tuple[bytes, ...]) -> None:
        for start in range(0, len(names), CHANNELS_AT_ONCE):
            some = names[start : start + CHANNELS_AT_ONCE]
            if self._send("SUBSCRIBE", some):
                for name in some:
                    self._asked[name] = self._asked.get(name, 0) + 1

    def _send(self, command: str, names: tuple[bytes, ...]) -> bool:
        """Sends a command if there is a connection; a new one begins with all channels anyway."""
        connection = self._connection
        if connection is None or not names:
            return False
        # A command that names several sharded channels is refused where they are in different slots.
        commands = [(name,) for name in names] if self._prefix else [names]
        self._write(connection, *((self._prefix + command, *some) for some in commands))
        return True

    def _write(self, connection: Connection, *commands: tuple[str | bytes, ...]) -> None:
        packed = b"".join(part for command in commands for part in connection.pack_command(*command))
        self._begin(connection.send_packed_command(packed, False))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Tasks take their first steps in the order in which they were made: so the commands are written in theirs."""
        task = asyncio.get_running_loop().create_task(work)
        self._writing.add(task)
        task.add_done_callback(self._written)

    def _written(self, task: asyncio.Task[None]) -> None:
        self._writing.discard(task)
        if not task.cancelled() and task.exception() is not None:
            logger.debug("the subscription to Redis broke: %s", task.exception())
