"""How much has gone over a connection, as the kernel counts it: counting each write would cost the hot path."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import NamedTuple

# struct tcp_info of Linux 4.1 and later (linux/tcp.h): tcpi_last_ack_recv, in milliseconds, tcpi_bytes_acked and
# tcpi_bytes_received.
_COUNTERS = struct.Struct("=56xI60xQQ")


class Traffic(NamedTuple):
    """Bytes since the connection was accepted, HTTP heads included. `sent` counts those that the client acknowledged.

    `idle_s` are the seconds since anything came from the client, if only an acknowledgement.
    """

    sent: int
    received: int
    idle_s: float


def traffic_of(transport: asyncio.BaseTransport) -> Traffic | None:
    """The connection's traffic; None where it is closing, is not TCP, or the kernel does not count."""
    if transport.is_closing():
        # Its descriptor may be another connection's by now.
        return None
    sock: socket.socket | None = transport.get_extra_info("socket")
    option = getattr(socket, "TCP_INFO", None)
    if sock is None or option is None:
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, option, _COUNTERS.size)
    except OSError:
        return None
    if len(info) < _COUNTERS.size:
        return None
    idle_ms, sent, received = _COUNTERS.unpack(info)
    return Traffic(sent, received, idle_ms / 1000)
