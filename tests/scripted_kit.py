"""A server that says what it was told to, byte for byte."""

from __future__ import annotations

import socket
import threading


def head(status: int = 200, kind: str = "text/event-stream", **fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Answer", f"content-type: {kind}", "connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode()


class Scripted:
    """A server whose n-th connection is answered with the n-th of these bytes, and then closed."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = answers
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(30)
        self._thread = threading.Thread(target=self._run)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.requests: list[str] = []

    def __enter__(self) -> Scripted:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._listening.close()

    def _run(self) -> None:
        for answer in self._answers:
            connection, _ = self._listening.accept()
            with connection:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(65536)
                self.requests.append(request.decode())
                connection.sendall(answer)
                # To close with bytes unread, the rest of the request, would take the answer back.
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
