"""Opens connections with redis-py: login, TLS, the scripts, and who the server is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import msgspec
from redis.asyncio.connection import Connection, SSLConnection
from redis.exceptions import ReadOnlyError, RedisError

from tidegate.stores.redis.script import SCRIPTS
from tidegate.stores.redis.url import Place

CONNECT_SECONDS = 2.0
"""How long a connection may take to open, its login included: a tenth of what clients of ours wait for."""

CUT_SECONDS = 0.3
"""How long whoever stops waits for a connection that is being opened: it is closed once it is open, at the latest when
the process ends, which has some seconds for all that it does."""

logger = logging.getLogger("tidegate.stores")

Address = tuple[str, int]


class Opened(msgspec.Struct, frozen=True):
    """An open connection. `run` is another one for each start of a server: what is written under one run was written
    by one server that has forgotten nothing since."""

    connection: Connection
    run: str
    version: tuple[int, int]


def unopened(place: Place, address: Address) -> Connection:
    """A connection that is not open yet."""
    options: dict[str, Any] = {
        "host": address[0],
        "port": address[1],
        "db": place.database,
        "username": place.username or None,
        "password": _password(place) or None,
        "protocol": 2,
        "socket_timeout": None,
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_keepalive": True,
        "client_name": "tidegate",
        "driver_info": None,
    }
    if not place.tls:
        return Connection(**options)
    return SSLConnection(**options, ssl_ca_certs=place.ca_file or None, ssl_check_hostname=True)


def _password(place: Place) -> str:
    """Raises `OSError` where there is no such file."""
    return Path(place.password_file).read_text().strip() if place.password_file else place.password


async def opened(place: Place, address: Address, *, scripts: bool) -> Opened:
    """A connection to the address, whose server knows all `scripts` if they are wanted.

    Raises `RedisError`, `OSError` or `TimeoutError`.
    """
    opening = asyncio.ensure_future(_opened(place, address, scripts=scripts))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        # A connection that is cut short while it opens would be left open.
        with suppress(RedisError, OSError):
            await closed((await opening).connection)
        raise


async def _opened(place: Place, address: Address, *, scripts: bool) -> Opened:
    connection = unopened(place, address)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await connection.connect()
            facts = facts_of(await answer(connection, "INFO"))
            if scripts:
                if facts.get("role") == "slave":
                    raise ReadOnlyError("it is a replica")
                for script in SCRIPTS:
                    await answer(connection, "SCRIPT", "LOAD", script.text)
    except BaseException:
        await closed(connection)
        raise
    major, minor, *_ = (int(part) for part in facts.get("redis_version", "0.0").split("."))
    return Opened(connection, facts.get("run_id", ""), (major, minor))


async def answer(connection: Connection, *command: str) -> Any:
    """The answer to one command. Raises `RedisError` or `OSError`."""
    await send(connection, b"".join(connection.pack_command(*command)))
    return cast("Any", await connection.read_response())


async def send(connection: Connection, packed: bytes) -> None:
    """Sends packed commands. Raises `RedisError` or `OSError`."""
    if not connection.is_connected:
        # redis-py would connect anew, behind the back of whoever keeps the connection.
        raise ConnectionError("the connection is closed")
    try:
        await connection.send_packed_command(packed, check_health=False)
    except RuntimeError as error:
        # uvloop's word for a connection that has closed while nothing was said.
        raise ConnectionError(str(error)) from error


async def closed(connection: Connection) -> None:
    """Closes a connection, which may be broken."""
    try:
        await connection.disconnect(nowait=True)
    except (RedisError, OSError):
        logger.debug("a connection to Redis broke when it was closed", exc_info=True)


async def stopped(task: asyncio.Task[None]) -> None:
    """Cancels what uses a connection, and waits for its end, but not for a server that does not answer."""
    task.cancel()
    await asyncio.wait((task,), timeout=CUT_SECONDS)


def facts_of(info: bytes) -> Mapping[str, str]:
    """What an answer to INFO says, by name."""
    lines = info.decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))
