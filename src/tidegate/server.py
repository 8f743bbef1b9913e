"""The server process: the application under uvicorn, from binding the port to the last reader."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import math
import resource
import socket
import sys
from collections.abc import Awaitable
from typing import Any, Protocol, cast

import uvicorn
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from tidegate.config import DeliverySettings, ServerSettings, Settings
from tidegate.delivery.direct_delivery import STALLED_BEATS
from tidegate.errors import ConfigError, InUse
from tidegate.gate.address import account_unless
from tidegate.observe.base import Observer
from tidegate.observe.logging import LoggingObserver, configure
from tidegate.observe.refusals import Refusals
from tidegate.serving.budget import Budget
from tidegate.serving.http_protocol import http_protocol
from tidegate.serving.peers import Peers
from tidegate.serving.waiting import Waiting
from tidegate.serving.ws_heart import HeartRates
from tidegate.serving.ws_on_demand import ws_on_demand
from tidegate.stopping import Stopping
from tidegate.stores import traits_of

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection is kept: longer than the 60 s of common proxies, so that it is the proxy that closes it,
and never we when a request is on its way."""

LEAVE_SECONDS = 1
"""How long, after draining, clients that do not read are waited for, and then providers that do not stop."""

FEW_DESCRIPTORS = 20_000
"""Each reader holds a file descriptor; with a limit below this a busy server reaches it before any other limit."""

BACKLOG = 4096
"""Connections that may wait to be accepted: after a restart all readers come at once. Linux's own limit is
net.core.somaxconn."""

DOORS = 16
"""Duplicates of each listening socket. libuv accepts one connection per socket in a turn of the loop, and a turn takes
some 20 ms when many clients are busy: with one socket new clients would wait for seconds."""

MOST_KEEPALIVE_SECONDS = 32767
"""The most that Linux accepts (tcp(7))."""

SWITCH_SECONDS = 0.0005
"""How long a busy loop may keep the interpreter lock from the thread that commits, which takes it some times for each
commit. With Python's 5 ms a token waits for 25 ms at 500 live streams, with this value for 2 ms."""

log = logging.getLogger("tidegate.server")


class Application(Protocol):
    """An application that can be served, e.g. `tidegate.app.Tidegate`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...

    async def start(self) -> None:
        """Gets ready for requests. Raises `ConfigError`."""
        ...

    async def drain(self) -> None:
        """Refuses new generations, and returns when none is left."""
        ...

    async def close(self) -> None:
        """Stops everything at once."""
        ...


def run(settings: Settings) -> int:
    """Serves until a signal stops it, and returns the exit code. Raises `TidegateError` where it cannot start."""
    from tidegate.app import Tidegate
    from tidegate.routes.socket import SOCKET

    configure(settings.observability.log_level, settings.observability.log_format)
    raise_descriptor_limit()
    sys.setswitchinterval(SWITCH_SECONDS)
    app = Tidegate(settings)
    # What has been imported stays: a full collection would look at all of it each time, for 10 ms of the loop.
    gc.freeze()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(app, settings, socket_path=SOCKET))


async def serve(app: Application, settings: Settings, *, socket_path: str | None = None) -> int:
    """Serves `app` on the settings' address; returns 0 after draining, 1 if a second signal cut that short.

    SIGTERM and SIGINT drain; the second of them stops at once. The address is bound first, so that a second server
    fails before it loads a model, but connections are accepted only when the application has started. WebSockets are
    accepted at `socket_path`; None: at any path. The process ends `drain_seconds` and 5 s after the first signal at the
    latest, whatever hangs. SIGHUP changes nothing.
    """
    signals = Stopping(settings.server.drain_seconds)
    sockets = bind(settings.server.host, settings.server.port)
    try:
        if not await _before(signals.first, app.start()):
            return 0
        give_up_on_the_lost(sockets, settings.delivery.heartbeat_seconds)
        server = await listen(app, settings, sockets, socket_path=socket_path)
        print_ready(settings, sockets)
        return await _until_stopped(app, server, signals)
    finally:
        await _close(app)
        signals.over()
        for each in sockets:
            each.close()


def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to every address of `host`, not listening yet; port 0 takes one free port for all of them.

    Raises `InUse` where the port is taken, `ConfigError` where no address is one of this machine.
    """
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            taken = sockets[0].getsockname()[1] if sockets else port
            sockets += _bound(family, (address[0], taken, *address[2:]))
        if not sockets:
            raise OSError(errno.EADDRNOTAVAIL, "not an address of this machine")
    except (OSError, ValueError) as error:
        for each in sockets:
            each.close()
        raise _cannot_listen(host, port, error) from error
    return sockets


def give_up_on_the_lost(sockets: list[socket.socket], heartbeat_seconds: float) -> None:
    """Makes the kernel break connections whose client has vanished, after as long as a stalled client is kept.

    Accepted sockets inherit these options. By default Linux retransmits for 15 minutes, and while there is nothing to
    send, as while a whole answer is being made, it never probes. Other systems keep their defaults.
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return
    seconds = min(STALLED_BEATS * heartbeat_seconds, MOST_KEEPALIVE_SECONDS)
    for each in sockets:
        each.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, math.ceil(seconds))
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, math.ceil(seconds / STALLED_BEATS))
        # Ends the probes, too, and connections whose client leaves data unread with its window closed.
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def address_of(settings: ServerSettings, sockets: list[socket.socket]) -> str:
    """The URL of the chat page, with its last slash."""
    if settings.public_url:
        return settings.public_url + "/"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    return f"http://{_netloc(host, sockets[0].getsockname()[1])}/"


def print_ready(settings: Settings, sockets: list[socket.socket]) -> None:
    """Prints the one line on stdout, which says that connections are accepted."""
    about = [f"listening on {_listening(sockets)}"] if settings.server.public_url else []
    if (store := traits_of(settings.store.url)) is not None:
        about.append(f"logs in {store.place(settings.store.url)}")
    sys.stdout.write(f"tidegate: chat at {address_of(settings.server, sockets)} ({', '.join(about)})\n")
    sys.stdout.flush()


def _listening(sockets: list[socket.socket]) -> str:
    """The URLs of all addresses, with the port that the system has chosen if none was given."""
    return " and ".join(f"http://{_netloc(*each.getsockname()[:2])}" for each in sockets)


def _netloc(host: str, port: int) -> str:
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def raise_descriptor_limit() -> None:
    """Raises the soft limit of open files to the hard one, and logs a warning if even that is low."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < FEW_DESCRIPTORS:
        log.warning("this process may open only %d files: that many connections at the most", hard)


async def listen(
    app: ASGIApp, settings: Settings, sockets: list[socket.socket], *, socket_path: str | None = None
) -> uvicorn.Server:
    budget = budget_of(settings, LoggingObserver())
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
    doors = [own.dup() for own in sockets for _ in range(DOORS - 1)]
    try:
        await server.startup(sockets=[*sockets, *doors])
    except OSError as error:
        for each in doors:
            each.close()
        raise _cannot_listen(settings.server.host, settings.server.port, error) from error
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


def most_connections() -> int:
    """Nine tenths of the files that this process may open: the store, upstreams and refused connections need some."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft * 9 // 10


def _rates(delivery: DeliverySettings) -> HeartRates:
    return HeartRates(
        ping_seconds=delivery.ws_ping_seconds,
        idle_seconds=delivery.ws_idle_seconds,
        probe_seconds=delivery.ws_probe_seconds,
        probes=delivery.ws_probes,
    )


async def _until_stopped(app: Application, server: uvicorn.Server, signals: Stopping) -> int:
    ticking = asyncio.create_task(server.main_loop())
    await signals.first.wait()
    log.info("draining: new generations are refused; a second signal stops at once")
    try:
        return 0 if await _before(signals.second, _leave(app, server, ticking)) else 1
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


async def _before(event: asyncio.Event, work: Awaitable[Any]) -> bool:
    """Whether `work` has ended before the event is set; if not, it is cancelled. Raises what `work` raises."""
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        ended = working.done()
        working.cancel()
    if ended:
        working.result()
    else:
        await asyncio.wait((working,), timeout=LEAVE_SECONDS)
    return ended


def _bound(family: int, address: tuple[Any, ...]) -> list[socket.socket]:
    """The bound socket, or none where the machine lacks this address: many lack the IPv6 address of `localhost`."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(address)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRNOTAVAIL:
            return []
        raise
    return [sock]


def _cannot_listen(host: str, port: int, error: OSError | ValueError) -> ConfigError:
    """The error for an address that cannot be bound; the resolver raises `ValueError` for an invalid host name."""
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        problem = f"port {port} on {host} is in use: stop the other server, or choose another by --port"
        return InUse(problem, key=("server", "port"))
    key = ("server", "port" if number == errno.EACCES else "host")
    reason = (isinstance(error, OSError) and error.strerror) or "it is no host name"
    return ConfigError(f"cannot listen on {host}, port {port}: {reason}", key=key)
