"""The address that is listened on: its sockets, and the one line that says that connections are accepted."""

from __future__ import annotations

import errno
import math
import socket
import sys
from collections.abc import Sequence
from typing import Any

from tidegate.config import ServerSettings, Settings
from tidegate.delivery.direct_delivery import STALLED_BEATS
from tidegate.errors import ConfigError, InUse
from tidegate.stores import traits_of

MOST_KEEPALIVE_SECONDS = 32767
"""The most that Linux accepts (tcp(7))."""


def bind(host: str, port: int, *, reuse_port: bool = False) -> list[socket.socket]:
    """Sockets bound to every address of `host`, not listening yet; port 0 takes one free port for all of them.

    With `reuse_port` others that say so as well may be bound to the same address (SO_REUSEPORT). Raises `InUse` where
    the port is taken, `ConfigError` where no address is one of this machine.
    """
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            taken = sockets[0].getsockname()[1] if sockets else port
            sockets += _bound(family, (address[0], taken, *address[2:]), reuse_port=reuse_port)
        if not sockets:
            raise OSError(errno.EADDRNOTAVAIL, "not an address of this machine")
    except (OSError, ValueError) as error:
        close_all(sockets)
        raise cannot_listen(host, port, error) from error
    return sockets


def bind_each(host: str, port: int, times: int) -> list[list[socket.socket]]:
    """As `bind`, so many times, on one port: the kernel spreads connections evenly over what listens. Raises the same.

    Another server that sets SO_REUSEPORT could join, e.g. this one started twice. So a socket that does not set it is
    bound first: that fails where any other server listens.
    """
    if port:
        close_all(bind(host, port))
    groups: list[list[socket.socket]] = []
    try:
        for _ in range(times):
            groups.append(bind(host, groups[0][0].getsockname()[1] if groups else port, reuse_port=True))
    except ConfigError:
        for group in groups:
            close_all(group)
        raise
    return groups


def give_up_on_the_lost(sockets: Sequence[socket.socket], heartbeat_seconds: float) -> None:
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
    about = [f"listening on {addresses(sockets)}"] if settings.server.public_url else []
    if (store := traits_of(settings.store.url)) is not None:
        about.append(f"logs in {store.place(settings.store.url)}")
    sys.stdout.write(f"tidegate: chat at {address_of(settings.server, sockets)} ({', '.join(about)})\n")
    sys.stdout.flush()


def addresses(sockets: list[socket.socket]) -> str:
    """The URLs of all addresses, with the port that the system has chosen if none was given."""
    return " and ".join(f"http://{_netloc(*each.getsockname()[:2])}" for each in sockets)


def _netloc(host: str, port: int) -> str:
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def _bound(family: int, address: tuple[Any, ...], *, reuse_port: bool) -> list[socket.socket]:
    """The bound socket, or none where the machine lacks this address: many lack the IPv6 address of `localhost`."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse_port)
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


def close_all(sockets: Sequence[socket.socket]) -> None:
    for each in sockets:
        each.close()


def cannot_listen(host: str, port: int, error: OSError | ValueError) -> ConfigError:
    """The error for an address that cannot be bound; the resolver raises `ValueError` for an invalid host name."""
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        problem = f"port {port} on {host} is in use: stop the other server, or choose another by --port"
        return InUse(problem, key=("server", "port"))
    key = ("server", "port" if number == errno.EACCES else "host")
    reason = (isinstance(error, OSError) and error.strerror) or "it is no host name"
    return ConfigError(f"cannot listen on {host}, port {port}: {reason}", key=key)
