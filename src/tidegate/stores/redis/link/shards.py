"""Where a key is: on the one server there is, or on the master that Sentinels name. For a cluster, see `cluster`."""

from __future__ import annotations

import asyncio
import logging
from asyncio import Future
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol

import msgspec
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from tidegate.errors import ConfigError
from tidegate.stores.redis.link.connecting import CONNECT_SECONDS, Address, Opened, answer, closed, opened, unopened
from tidegate.stores.redis.link.lane import Call, Lane, Watch, refuse
from tidegate.stores.redis.link.subscription import Listener, Subscription
from tidegate.stores.redis.script import Command
from tidegate.stores.redis.url import Place

OPEN_SECONDS = 10.0
"""How long a node that starts waits for Redis: where both are started together, Redis may still read its file."""

logger = logging.getLogger("tidegate.stores")


SAID_AFTER_SECONDS = 0.5
"""How long Redis is away before the log says so: a connection that was closed since nobody used it is back sooner."""


SAID_AGAIN_SECONDS = 5.0
"""How soon the log says another reason, e.g. that the login is refused now: a connection that breaks has several."""


class Health:
    """Since when Redis cannot be used, by the loop's time; `None` while it can. One lane is enough for that."""

    def __init__(self) -> None:
        self.since: float | None = None
        self.reason = ""
        self._down: dict[Lane, str] = {}
        self._backs: list[Callable[[], None]] = []
        self._said = ""
        self._said_at = 0.0

    def on_back(self, back: Callable[[], None]) -> None:
        """Calls `back` each time that Redis can be used again; it may have forgotten something."""
        self._backs.append(back)

    def up(self, lane: Lane) -> None:
        if self._down.pop(lane, None) is not None and not self._down:
            self._recovered()
            for back in self._backs:
                back()

    def down(self, lane: Lane, reason: str) -> None:
        now = asyncio.get_running_loop().time()
        if not self._down:
            self.since = now
        self._down[lane] = self.reason = reason
        is_new = reason != self._said and now - self._said_at >= SAID_AGAIN_SECONDS
        if self.since is not None and now - self.since >= SAID_AFTER_SECONDS and (not self._said or is_new):
            self._said, self._said_at = reason, now
            logger.warning("Redis cannot be used: %s", reason)

    def forget(self, lane: Lane) -> None:
        """The lane is used no longer."""
        if self._down.pop(lane, None) is not None and not self._down:
            self._recovered()

    def _recovered(self) -> None:
        if self._said and self.since is not None:
            away = asyncio.get_running_loop().time() - self.since
            logger.warning("Redis is back, after %.1f s", away)
        self.since, self._said = None, ""


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


class OneShard:
    """The `Shards` where one server has all keys: `find` says which, anew for each connection."""

    publish = "PUBLISH"
    in_order = True

    def __init__(self, place: Place, find: Callable[[], Awaitable[Address]]) -> None:
        self.health = Health()
        self._place = place
        self._find = find
        self._shard = Shard(self._connect, self)

    async def open(self) -> None:
        self._shard.open()
        with refusals(self._place):
            await closed((await self._connect(scripts=False)).connection)
        await self.ask("", ("PING",), within=OPEN_SECONDS)

    def ask(self, key: str, command: Command, *, within: float) -> Future[Any]:
        return self._shard.writes.ask(command, within=within)

    def tell(self, key: str, command: Command) -> None:
        self._shard.writes.tell(command)

    def read(self, key: str, command: Command, *, within: float) -> Future[Any]:
        return self._shard.reads.ask(command, within=within)

    def run_of(self, key: str) -> str:
        return self._shard.writes.run

    def listen(self, channel: str, listener: Listener) -> None:
        self._shard.news.add(channel, listener)

    def ignore(self, channel: str) -> None:
        self._shard.news.remove(channel)

    async def servers(self) -> Sequence[bytes]:
        return [await self.read("", ("INFO",), within=OPEN_SECONDS)]

    async def close(self) -> None:
        await self._shard.close()

    async def _connect(self, *, scripts: bool) -> Opened:
        return await opened(self._place, await self._find(), scripts=scripts)

    # As a `Watch`

    def unheard(self) -> None:
        """Each connection finds its server anew."""

    def up(self, lane: Lane) -> None:
        self.health.up(lane)

    def down(self, lane: Lane, reason: str) -> None:
        self.health.down(lane, reason)

    def moved(self, lane: Lane, call: Call) -> None:
        refuse(call.answer, "this Redis is part of a cluster: use redis+cluster://")


def shards(place: Place) -> Shards:
    """The shards of a place."""
    if place.kind == "cluster":
        from tidegate.stores.redis.link.cluster import ClusterShards

        return ClusterShards(place)
    return OneShard(place, partial(master, place) if place.kind == "sentinel" else partial(_first, place))


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


async def _first(place: Place) -> Address:
    return place.hosts[0]


async def master(place: Place) -> Address:
    """The master of a service, as the first Sentinel that answers names it. Raises `OSError` where none does."""
    for host in place.hosts:
        connection = unopened(
            msgspec.structs.replace(place, database=0, username="", password="", password_file=""), host
        )
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await connection.connect()
                found = await answer(connection, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", place.service)
        except (RedisError, OSError) as error:
            logger.debug("a Sentinel does not answer: %s", error)
            continue
        finally:
            await closed(connection)
        if found:
            return found[0].decode(), int(found[1])
    raise OSError(f"no Sentinel names a master of {place.service!r}")
