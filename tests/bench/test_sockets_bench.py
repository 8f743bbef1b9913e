from __future__ import annotations

import shutil
import socket
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from go_kit import is_compiled

from tidegate.bench.load import reading
from tidegate.bench.processes import Server
from tidegate.bench.programs import Programs
from tidegate.bench.runs import run
from tidegate.bench.sockets import HANDSHAKE, check
from tidegate.core.ws_frame import TEXT, frame
from tidegate.errors import TidegateError

ROOT = Path(__file__).parent.parent.parent
BASELINES = ROOT / "bench" / "baselines"
SMALL = {"readers": 8, "rate": 100, "seconds": 0.5, "rounds": 1, "warmup": 0.1}
SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
PING = frame(0x9, b"")
PONG = bytes((0x8A, 0x80, 0, 0, 0, 0))

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="the load generator is built with cc")


def token(number: int, size: int = 0) -> bytes:
    """One frame, made so many nanoseconds after an hour."""
    return frame(TEXT, b"@%019d;%b" % (3600 * 10**9 + number, b"x" * size))


@contextmanager
def saying(*pieces: bytes) -> Generator[Server]:
    """Answers the handshake of one client, and once that has greeted and answered a ping it says these pieces."""

    def serve() -> None:
        with suppress(OSError), listening.accept()[0] as connection:
            connection.recv(1024)
            connection.sendall(SWITCHING)
            heard.append(connection.recv(1024))
            connection.sendall(PING)
            heard.append(connection.recv(1024))
            for piece in pieces:
                connection.sendall(piece)
            connection.recv(1024)

    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        yield Server(0, listening.getsockname()[1], HANDSHAKE + b"hello")
    thread.join()
    assert heard == [b"hello", PONG]


def checked(folder: Path, published: int, *pieces: bytes) -> None:
    """Whether what one socket was sent is what was published."""
    program = Programs(folder, BASELINES, Path(sys.executable)).load()
    with saying(*pieces) as server, reading(program, server, 1, websocket=True) as load:
        load.dial()
        check(load, published, seconds=2)


def test_messages_are_counted_however_their_frames_are_cut(tmp_path: Path) -> None:
    """With lengths of each kind, a header that looks like a token, byte by byte and many at once."""
    long = token(5, 70_000)
    cut = [bytes((byte,)) for byte in token(1) + token(2, 300)]
    checked(tmp_path, 5, *cut, token(3, 64 - 21) + token(4), long[:9], long[9:])


@pytest.mark.parametrize(
    "numbers", [pytest.param((1,), id="lost"), pytest.param((1, 2, 2), id="twice"), pytest.param((2, 1), id="order")]
)
def test_what_is_lost_or_comes_twice_or_out_of_order_ends_the_run(tmp_path: Path, numbers: tuple[int, ...]) -> None:
    """Two messages were published."""
    with pytest.raises(TidegateError, match="of 2 messages each socket had"):
        checked(tmp_path, 2, *map(token, numbers))


def test_every_socket_has_every_message_once(tmp_path: Path) -> None:
    """Or the run fails."""
    assert measured(tmp_path) == ["tidegate"]


def test_every_socket_of_the_hub_has_every_message_once(tmp_path: Path) -> None:
    """It is spoken to as its clients and its publisher do."""
    if not is_compiled(BASELINES / "sockets"):
        pytest.skip("compiling the hub takes a minute: run `tidegate bench sockets` once, where Go is")
    shutil.copytree(BASELINES / "sockets", tmp_path / "sockets")
    assert measured(tmp_path) == ["tidegate", "gorilla/websocket hub"]


def measured(baselines: Path) -> list[str]:
    """The contenders of a small run, each of which has delivered messages."""
    table = run("sockets", SMALL, baselines=baselines, python=Path(sys.executable))
    for row in table.rows:
        assert table.median(row, "tokens/s") > 0
        assert table.median(row, "p50 ms") > 0
    return list(table.rows)
