"""One of several processes on one port: `python -m tidegate.workers.worker DESCRIPTOR`, started by its parent.

The descriptor is a socket to the parent (`messages`). When the parent has died, however that was, the worker ends.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from asyncio import Future
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tidegate.config import Settings
from tidegate.errors import TidegateError, Unavailable
from tidegate.lifeline import die_with_parent
from tidegate.observe.logging import configure
from tidegate.observe.metrics.series import Series
from tidegate.server import run_with, serve_at
from tidegate.serving.listeners import Listeners
from tidegate.stopping import Stopping
from tidegate.workers.changeover import Changeover
from tidegate.workers.lent import lent
from tidegate.workers.messages import (
    LONGEST_LINE,
    Drop,
    Listen,
    Measure,
    Measured,
    Message,
    Prepare,
    Ready,
    Scrape,
    Scraped,
    Setup,
    Take,
    decoded,
    encoded,
    failed,
)

if TYPE_CHECKING:
    from tidegate.app import Tidegate

FAILED = 1

SCRAPE_SECONDS = 3.0
"""How long a scrape waits for the parent, which waits for a worker that hangs for a second."""

log = logging.getLogger("tidegate.workers")


def main() -> None:
    die_with_parent()
    # As the command line does, for `python` models.
    sys.path.insert(0, str(Path.cwd()))
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        setup = _first(channel)
        _keep_from_children(setup)
        try:
            code = _run(setup, channel)
        except TidegateError as error:
            channel.setblocking(True)
            channel.sendall(encoded(failed(error)))
            code = FAILED
    sys.exit(code)


def _first(channel: socket.socket) -> Setup:
    """The first message: nothing follows it before the worker has answered."""
    line = b""
    while not line.endswith(b"\n"):
        received = channel.recv(65536)
        if not received:
            sys.exit(FAILED)
        line += received
    message = decoded(line)
    assert isinstance(message, Setup)
    return message


def _keep_from_children(setup: Setup) -> None:
    """What a model starts must not hold the port open."""
    for number in (int(sys.argv[1]), *(each for group in setup.listeners for each in group)):
        os.set_inheritable(number, False)


def _run(setup: Setup, channel: socket.socket) -> int:
    observability = setup.settings.observability
    configure(observability.log_level, observability.log_format, worker=setup.worker)
    groups = [[_listener(each) for each in group] for group in setup.listeners]
    return run_with(lent(setup.settings, setup.lanes, setup.keys), partial(_serve, setup.worker, groups, channel))


def _listener(descriptor: int) -> socket.socket:
    """The inherited socket. Python takes it for a blocking one, and a duplicate of that would make it block for all
    processes that have it: one that is about to accept would hang."""
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)
    return listener


async def _serve(
    worker: int,
    groups: list[list[socket.socket]],
    channel: socket.socket,
    app: Tidegate,
    settings: Settings,
    *,
    socket_path: str,
) -> int:
    signals = Stopping(settings.server.drain_seconds)
    own = [each.dup() for each in groups[worker]]
    orders = Orders(groups, app, *await asyncio.open_unix_connection(sock=channel.dup(), limit=LONGEST_LINE))
    app.scrape = orders.scrape
    return await serve_at(own, app, settings, signals, orders.obey, number=worker, socket_path=socket_path)


class Orders:
    """The parent's, which says whose connections to take besides one's own, asks what was measured, and changes the
    settings. Without a parent the process ends."""

    def __init__(
        self,
        groups: list[list[socket.socket]],
        app: Tidegate,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._groups = groups
        self._app = app
        self._changeover = Changeover(app, self._tell)
        self._scraping: Future[Sequence[Series]] | None = None
        self._reader = reader
        self._writer = writer
        self._listeners: Listeners | None = None
        self._obeying = asyncio.create_task(self._obey())

    def obey(self, listeners: Listeners) -> None:
        """Tells the parent that connections are taken, and obeys it from then on."""
        self._listeners = listeners
        self._tell(Ready())

    async def scrape(self) -> Sequence[Series]:
        """What all workers have measured. Raises `Unavailable` where the parent does not say it."""
        if self._scraping is None:
            self._scraping = asyncio.get_running_loop().create_future()
            self._tell(Scrape())
        scraping = self._scraping
        await asyncio.wait([scraping], timeout=SCRAPE_SECONDS)
        if not scraping.done():
            # The next one asks again.
            self._scraping = None
            raise Unavailable("what the other workers have measured cannot be had at the moment")
        return scraping.result()

    async def _obey(self) -> None:
        with suppress(ConnectionError):
            while line := await self._reader.readline():
                await self._do(decoded(line))
        # The parent may have died before the kernel was told what to do then.
        os._exit(FAILED)

    async def _do(self, message: Message) -> None:
        match message:
            case Listen(numbers) if self._listeners is not None:
                await self._listen(self._listeners, set(numbers))
            case Measure():
                self._tell(Measured(list(self._app.series())))
            case Scraped(series) if self._scraping is not None:
                scraping, self._scraping = self._scraping, None
                scraping.set_result(series)
            case Prepare():
                self._changeover.prepare(message)
            case Take():
                self._changeover.take()
            case Drop():
                self._changeover.drop()
            case _:
                pass

    def _tell(self, message: Message) -> None:
        self._writer.write(encoded(message))

    async def _listen(self, listeners: Listeners, wanted: set[int]) -> None:
        for number in listeners.numbers - wanted:
            listeners.close(number)
        for number in wanted - listeners.numbers:
            try:
                await listeners.open(number, self._groups[number])
            except OSError as error:
                log.error("cannot take the connections of worker %d: %s", number, error)
            else:
                log.debug("takes the connections of worker %d, too", number)


if __name__ == "__main__":
    main()
