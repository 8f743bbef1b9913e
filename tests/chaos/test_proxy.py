from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import pytest

from .proxy import Line

pytestmark = pytest.mark.anyio


class Echo:
    """A server that sends back what it gets. `left` is done when a client's connection has ended."""

    def __init__(self) -> None:
        self.left: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sizes: list[int] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                self.sizes.append(len(data))
                writer.write(data)
        if not self.left.done():
            self.left.set_result(None)
        writer.close()


class Bench:
    """An echo server behind a line, and the clients of the line. `away` says that the server is not to be found."""

    def __init__(self) -> None:
        self.echo = Echo()
        self.away = False
        self.line = Line(lambda: None if self.away else self._server.sockets[0].getsockname()[1])
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self) -> None:
        self._server = await asyncio.start_server(self.echo.serve, "127.0.0.1", 0)
        await self.line.open()

    async def close(self) -> None:
        for writer in self._writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()
        await self.line.close()
        self._server.close()
        await self._server.wait_closed()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client that has been heard. Raises `OSError` or `IncompleteReadError` where it has not."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.line.port)
        self._writers.append(writer)
        writer.write(b"hello")
        assert await asyncio.wait_for(reader.readexactly(5), 5) == b"hello"
        return reader, writer


@asynccontextmanager
async def laid() -> AsyncGenerator[Bench]:
    bench = Bench()
    await bench.open()
    try:
        yield bench
    finally:
        await bench.close()


async def test_a_line_carries_both_ways() -> None:
    """What is sent at one end arrives at the other, and so does a regular end."""
    async with laid() as bench:
        _, writer = await bench.connect()
        writer.close()
        await asyncio.wait_for(bench.echo.left, 5)


async def test_a_cut_line_resets_both_ends() -> None:
    """Both ends learn of a cut, the client by a reset."""
    async with laid() as bench:
        reader, _ = await bench.connect()
        assert bench.line.cut() == 1
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        await asyncio.wait_for(bench.echo.left, 5)


async def test_a_finished_line_ends_without_an_error() -> None:
    """A FIN in the middle of an answer looks like its end."""
    async with laid() as bench:
        reader, _ = await bench.connect()
        assert bench.line.finish() == 1
        assert await asyncio.wait_for(reader.read(), 5) == b""


async def test_a_line_that_vanishes_tells_neither_end() -> None:
    """Nothing comes through a vanished connection, not even the end of one side; a new connection is whole."""
    async with laid() as bench:
        reader, writer = await bench.connect()
        assert bench.line.vanish() == 1
        writer.write(b"lost")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(4), 0.1)
        writer.close()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(bench.echo.left), 0.1)
        await bench.connect()
        assert bench.echo.sizes == [5, 5]


async def test_a_stalled_line_loses_nothing() -> None:
    """What was held back arrives when the line is mended."""
    async with laid() as bench:
        reader, writer = await bench.connect()
        bench.line.stall()
        writer.write(b"held")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(4), 0.1)
        bench.line.mend()
        assert await asyncio.wait_for(reader.readexactly(4), 5) == b"held"


async def test_a_stalled_line_can_be_closed() -> None:
    """Closing a line ends what it holds back."""
    async with laid() as bench:
        reader, writer = await bench.connect()
        bench.line.stall()
        writer.write(b"held")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(4), 0.1)
        await asyncio.wait_for(bench.line.close(), 5)


async def test_a_delayed_line_is_later() -> None:
    """Each piece takes the delay, in each direction."""
    async with laid() as bench:
        reader, writer = await bench.connect()
        bench.line.delay(0.05)
        begun = asyncio.get_running_loop().time()
        writer.write(b"late")
        assert await asyncio.wait_for(reader.readexactly(4), 5) == b"late"
        assert asyncio.get_running_loop().time() - begun >= 0.1


async def test_a_shredded_line_carries_small_pieces() -> None:
    """The other end gets what was sent, some bytes at a time."""
    async with laid() as bench:
        reader, writer = await bench.connect()
        bench.line.shred(3)
        writer.write(b"0123456789" * 10)
        assert await asyncio.wait_for(reader.readexactly(100), 5) == b"0123456789" * 10
        pieces: list[int] = []
        writer.write(b"x" * 12)
        while sum(pieces) < 12:
            pieces.append(len(await asyncio.wait_for(reader.read(100), 5)))
        assert sum(pieces) == 12


async def test_a_refusing_line_lets_nobody_in_until_it_is_mended() -> None:
    """What was there is reset, what comes is too, and after mending it is as before."""
    async with laid() as bench:
        await bench.connect()
        bench.line.refuse()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await bench.connect()
        bench.line.mend()
        await bench.connect()


async def test_a_line_to_a_server_that_is_away_resets() -> None:
    """Without a target the client is reset; the target is asked for anew by each connection."""
    async with laid() as bench:
        bench.away = True
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await bench.connect()
        bench.away = False
        await bench.connect()
