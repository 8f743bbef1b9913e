"""The server process: the application under uvicorn, from binding the port to the last reader."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Protocol, cast

import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from tidegate.config import Changes, DeliverySettings, Reloads, ServeSource, Settings
from tidegate.descriptors import most_connections, raise_descriptor_limit
from tidegate.gate.address import account_unless
from tidegate.listening import addresses, bind, cannot_listen, close_all, give_up_on_the_lost, print_ready
from tidegate.notify import service_manager
from tidegate.observe.base import Observer
from tidegate.observe.logging import configure
from tidegate.observe.refusals import Refusals
from tidegate.serving.budget import Budget
from tidegate.serving.http_protocol import http_protocol
from tidegate.serving.listeners import BACKLOG, Listeners
from tidegate.serving.peers import Peers
from tidegate.serving.waiting import Waiting
from tidegate.serving.ws_heart import HeartRates
from tidegate.serving.ws_on_demand import ws_on_demand
from tidegate.stopping import LEAVE_SECONDS, Stopping, before

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection is kept: longer than the 60 s of common proxies, so that it is the proxy that closes it,
and never we when a request is on its way."""

SWITCH_SECONDS = 0.0005
"""How long a busy loop may keep the interpreter lock from the thread that commits, which takes it some times for each
commit. With Python's 5 ms a token waits for 25 ms at 500 live streams, with this value for 2 ms."""

log = logging.getLogger("tidegate.server")


class Application(Protocol):
    """An application that can be served, e.g. `tidegate.app.Tidegate`."""

    @property
    def observer(self) -> Observer: ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    async def start(self) -> None:
        """Gets ready for requests. Raises `ConfigError`."""
        ...

    async def reload(self, settings: Settings) -> Changes:
        """Takes over models and keys of the settings while it runs. Raises `TidegateError`; then nothing is changed."""
        ...

    async def drain(self) -> None:
        """Refuses new generations, and returns when none is left."""
        ...

    async def close(self) -> None:
        """Stops everything at once."""
        ...

    async def flush(self) -> None:
        """Sends what is pending of telemetry, for a few seconds at the most."""
        ...


def run(settings: Settings, source: ServeSource | None = None) -> int:
    """Serves until a signal stops it, and returns the exit code. Raises `TidegateError` where it cannot start.

    At SIGHUP the `source` of the settings is read again; without one nothing is.
    """
    configure(settings.observability.log_level, settings.observability.log_format)
    raise_descriptor_limit()
    return run_with(settings, partial(serve, source=source))


def run_with(settings: Settings, serve: Callable[..., Coroutine[Any, Any, int]]) -> int:
    """Makes the application, has `serve` serve it on a loop of its own, and returns the exit code that `serve` does."""
    from tidegate.app import Tidegate
    from tidegate.routes.socket import SOCKET

    sys.setswitchinterval(SWITCH_SECONDS)
    app = Tidegate(settings)
    # What has been imported stays: a full collection would look at all of it each time, for 10 ms of the loop.
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(app, settings, socket_path=SOCKET))


async def serve(
    app: Application, settings: Settings, *, source: ServeSource | None = None, socket_path: str | None = None
) -> int:
    """Serves `app` on the settings' address, which is printed when connections are accepted; see `serve_at` and `run`.

    The address is bound first, so that a second server fails before it loads a model.
    """
    manager = service_manager(os.environ)
    signals = Stopping(settings.server.drain_seconds)
    sockets = bind(settings.server.host, settings.server.port)

    def ready(_: Listeners) -> None:
        print_ready(settings, sockets)
        manager.ready(f"accepting connections on {addresses(sockets)}")

    reloads = None if source is None else Reloads(source, signals.hung_up, app.reload, manager.reloading)
    async with manager.attended(signals.first, settings.server.drain_seconds):
        return await serve_at(sockets, app, settings, signals, ready, reloads=reloads, socket_path=socket_path)


async def serve_at(
    sockets: Sequence[socket.socket],
    app: Application,
    settings: Settings,
    signals: Stopping,
    ready: Callable[[Listeners], None],
    *,
    reloads: Reloads | None = None,
    number: int = 0,
    socket_path: str | None = None,
) -> int:
    """Serves `app` on bound sockets, which it closes; returns 0 after draining, 1 if a second signal cut that short.

    SIGTERM and SIGINT drain; the second of them stops at once. Connections are accepted only when the application has
    started; then `ready` is called with the listeners, among which the sockets have this `number`. WebSockets are
    accepted at `socket_path`; None: at any path. The process ends `drain_seconds` and 5 s after the first signal at the
    latest, whatever hangs. The `reloads` run until the first signal.
    """
    try:
        if not await before(signals.first, app.start()):
            return 0
        give_up_on_the_lost(sockets, settings.delivery.heartbeat_seconds)
        server = await started(app, settings, socket_path=socket_path)
        listeners = await listen(server, settings, number, sockets)
        ready(listeners)
        close_all(sockets)
        return await _until_stopped(app, server, signals, reloads)
    finally:
        await _close(app)
        await before(signals.second, app.flush())
        signals.over()
        close_all(sockets)


async def listen(
    server: uvicorn.Server, settings: Settings, number: int, sockets: Sequence[socket.socket]
) -> Listeners:
    """Has the server take connections from these sockets. Raises `ConfigError`, `InUse` where the port is taken."""
    listeners = Listeners(server)
    try:
        await listeners.open(number, sockets)
    except OSError as error:
        raise cannot_listen(settings.server.host, settings.server.port, error) from error
    return listeners


async def started(app: Application, settings: Settings, *, socket_path: str | None = None) -> uvicorn.Server:
    """The server, which takes no connections yet."""
    budget = budget_of(settings, app.observer)
    config = uvicorn.Config(
        app,
        http=http_protocol(
            settings.limits.max_header_bytes,
            settings.limits.request_timeout_seconds,
            budget=budget,
            socket_path=socket_path,
        ),
        ws=cast(
            "type[asyncio.Protocol]",
            ws_on_demand(
                max_message_bytes=settings.limits.max_message_bytes,
                send_buffer_bytes=settings.delivery.send_buffer_bytes,
                rates=_rates(settings.delivery),
                budget=budget,
            ),
        ),
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        forwarded_allow_ips=list(settings.server.trusted_proxies),
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=LEAVE_SECONDS,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[])
    return server


def budget_of(settings: Settings, observer: Observer) -> Budget:
    """The budget that all connections of this process share. Connections of trusted proxies, which carry many callers,
    are not limited by address."""
    limits, refusals = settings.limits, Refusals(observer)
    return Budget(
        connections=limits.connections or most_connections(),
        peers=Peers(limits.connections_per_principal, account_unless(settings.server.trusted_proxies)),
        waiting=Waiting(limits.max_buffered_bytes, refusals),
        refusals=refusals,
    )


def _rates(delivery: DeliverySettings) -> HeartRates:
    return HeartRates(
        ping_seconds=delivery.ws_ping_seconds,
        idle_seconds=delivery.ws_idle_seconds,
        probe_seconds=delivery.ws_probe_seconds,
        probes=delivery.ws_probes,
    )


async def _until_stopped(app: Application, server: uvicorn.Server, signals: Stopping, reloads: Reloads | None) -> int:
    ticking = asyncio.create_task(server.main_loop())
    await (signals.first.wait() if reloads is None else before(signals.first, reloads.run()))
    log.info("draining: new generations are refused; a second signal stops at once")
    try:
        return 0 if await before(signals.second, _leave(app, server, ticking)) else 1
    finally:
        ticking.cancel()


async def _leave(app: Application, server: uvicorn.Server, ticking: asyncio.Task[None]) -> None:
    await app.drain()
    server.should_exit = True
    await ticking
    await server.shutdown()


async def _close(app: Application) -> None:
    try:
        async with asyncio.timeout(LEAVE_SECONDS):
            await app.close()
    except TimeoutError:
        log.warning("what was running did not stop in %d s", LEAVE_SECONDS)
