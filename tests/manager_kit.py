"""A service manager's end of the socket that NOTIFY_SOCKET names (sd_notify(3))."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

WAIT_SECONDS = 30.0


class Manager:
    """What a process tells, message by message; `address` is what its NOTIFY_SOCKET says."""

    def __init__(self, sock: socket.socket, address: str) -> None:
        self._sock = sock
        self.address = address

    def told(self, *, within: float = WAIT_SECONDS) -> dict[str, str]:
        """The next message. Raises `TimeoutError`."""
        self._sock.settimeout(within)
        lines = self._sock.recv(4096).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def told_of(self, name: str) -> dict[str, str]:
        """The next message that has this variable; those before it are passed over."""
        while name not in (message := self.told()):
            pass
        return message

    def left(self) -> list[dict[str, str]]:
        """What was told and not looked at yet."""
        messages: list[dict[str, str]] = []
        try:
            while True:
                messages.append(self.told(within=0))
        except BlockingIOError:
            return messages


@contextmanager
def managing(address: str) -> Iterator[Manager]:
    """A manager that listens at a path, or with `@` in front in the abstract namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + address[1:] if address.startswith("@") else address)
        yield Manager(sock, address)
