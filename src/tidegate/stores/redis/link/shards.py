"""The servers that have the keys: what the rest of the store sees of them, and what each of them consists of."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from tidegate.errors import ConfigError
from tidegate.stores.redis.link.connecting import Opened
from tidegate.stores.redis.link.health import Health
from tidegate.stores.redis.link.lane import Lane, Watch
from tidegate.stores.redis.link.subscription import Listener, Subscription
from tidegate.stores.redis.script import Command
from tidegate.stores.redis.url import Place

OPEN_SECONDS = 10.0
"""How long a node that starts waits for Redis: where both are started together, Redis may still read its file."""


class Connect(Protocol):
    """Connects to a server. Raises `RedisError`, `OSError` or `TimeoutError`."""

    def __call__(self, *, scripts: bool) -> Awaitable[Opened]: ...


class Shard:
    """One server: a lane for what is written, one for what is read in large pieces, and a subscription."""

    def __init__(self, connect: Connect, watch: Watch, *, sharded: bool = False) -> None:
        self.writes = Lane(partial(connect, scripts=True), watch, connected=self._follow)
        self.reads = Lane(partial(connect, scripts=True), watch)
        self.news = Subscription(partial(connect, scripts=False), broken=watch.unheard, sharded=sharded)

    def open(self) -> None:
        """Takes commands again, after `close`."""
        self.writes.open()
        self.reads.open()

    def _follow(self) -> None:
        """Takes the other connections to where what is written goes now.

        A master that was replaced goes on answering reads, with what it has, or nothing.
        """
        if self.reads.run not in ("", self.writes.run):
            self.reads.leave()
        if self.news.run not in ("", self.writes.run):
            self.news.leave()

    async def close(self) -> None:
        await asyncio.gather(self.writes.close(), self.reads.close(), self.news.close())


class Shards(Protocol):
    """The servers that have the keys, as the rest of the store sees them."""

    health: Health

    publish: str
    """The command by which a script sends a message to a channel: its hash tag is that of the script's keys."""

    in_order: bool
    """Whether commands for different keys are carried out in the order of the calls, since one server has them all."""

    async def open(self) -> None:
        """Reaches Redis once. Raises `StoreUnavailable`, or `ConfigError` where Redis refuses the login."""
        ...

    def ask(self, key: str, command: Command, *, within: float) -> Future[Any]:
        """The answer to a command for the server of the key, in the order of the calls; see `Lane.ask`."""
        ...

    def tell(self, key: str, command: Command) -> None:
        """Asks without a caller that waits; see `Lane.tell`."""
        ...

    def read(self, key: str, command: Command, *, within: float) -> Future[Any]:
        """As `ask`, for a command that only reads: it may be answered before commands that were asked earlier."""
        ...

    def run_of(self, key: str) -> str:
        """Which start of its server the key's last commands went to."""
        ...

    def listen(self, channel: str, listener: Listener) -> None:
        """Listens to a channel, which has no listener yet."""
        ...

    def ignore(self, channel: str) -> None:
        """Listens to a channel no longer."""
        ...

    async def servers(self) -> Sequence[bytes]:
        """What each server says to INFO. Raises `StoreUnavailable`."""
        ...

    async def close(self) -> None: ...


@contextmanager
def refusals(place: Place) -> Generator[None]:
    """Raises `ConfigError` where Redis refuses the login or the database, which waiting does not mend; other errors are
    left to the lanes, which try again."""
    try:
        yield
    except (AuthenticationError, NoPermissionError) as error:
        problem = f"Redis refuses the login: {error}"
        if place.password_file:
            raise ConfigError(
                f"store.password_file: {problem}", key=("store", "password_file"), problem=problem
            ) from None
        raise _unfit(problem) from None
    except ResponseError as error:
        if "DB index" in str(error):
            raise _unfit(f"Redis has no database {place.database}") from None
    except (RedisError, OSError):
        return


def _unfit(problem: str) -> ConfigError:
    return ConfigError(f"store.url: {problem}", key=("store", "url"), problem=problem)
