"""A server that answers as it was told, and then keeps the connection, silent, until its client has left."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress

WAIT_SECONDS = 30.0


class Held:
    """The n-th connection gets the n-th answer; a sequence of answers is for the requests on one connection."""

    def __init__(self, *answers: bytes | Sequence[bytes], tls: ssl.SSLContext | None = None) -> None:
        self._answers = [[each] if isinstance(each, bytes) else list(each) for each in answers]
        self._tls = tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: dict[int, socket.socket] = {}
        self._ended = [threading.Event() for _ in answers]
        self._threads: list[threading.Thread] = []
        self.connections = 0
        self.requests: list[str] = []
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Held:
        self._begin(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for number in tuple(self._open):
            self.hang_up(number)
        for thread in self._threads:
            thread.join(WAIT_SECONDS)

    def hang_up(self, number: int) -> None:
        """Closes a connection from this end."""
        with suppress(OSError):
            self._open[number].shutdown(socket.SHUT_RDWR)
        self.wait_for_end(number)

    def wait_for_end(self, number: int) -> None:
        """Waits until a connection has ended."""
        assert self._ended[number].wait(WAIT_SECONDS), "the connection is still there"

    def _accept(self) -> None:
        for number, answers in enumerate(self._answers):
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._open[number] = connection
            self._begin(self._serve, number, connection, answers)

    def _serve(self, number: int, connection: socket.socket, answers: Sequence[bytes]) -> None:
        with suppress(OSError), connection:
            line = connection if self._tls is None else self._tls.wrap_socket(connection, server_side=True)
            with line:
                for answer in answers:
                    request = line.recv(65536)
                    if request:
                        self.requests.append(request.decode())
                        line.sendall(answer)
                while line.recv(65536):
                    pass
        self._ended[number].set()

    def _begin(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()
