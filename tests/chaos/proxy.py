"""A TCP line between one client and the server, on which everything may go wrong."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no seconds (socket(7)): to close is to send an RST."""

CHUNK_BYTES = 65536


class Line:
    """Listens on 127.0.0.1 and carries each connection to the port that `target` answers at that time; None: nowhere.

    A fault concerns the connections that are there, and answers how many; `refuse`, `swallow`, `stall`, `delay` and
    `shred` also concern those to come, until `mend`.
    """

    def __init__(self, target: Callable[[], int | None]) -> None:
        self._target = target
        self._connections: set[_Connection] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self._swallowing = False
        self.latency = 0.0
        self.piece = CHUNK_BYTES
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def flowing(self) -> asyncio.Event:
        return self._flowing

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        self._server.close()
        self.mend()
        there = tuple(self._connections)
        for each in there:
            each.reset()
        await asyncio.gather(*(each.over for each in there))
        await self._server.wait_closed()

    def cut(self) -> int:
        """Resets both ends of every connection."""
        return self._each(_Connection.reset)

    def finish(self) -> int:
        """Closes both ends of every connection in an orderly way, in the middle of whatever was said."""
        return self._each(_Connection.finish)

    def vanish(self) -> int:
        """Carries nothing more, and tells neither end: no FIN, no RST, as when a cable is pulled or a NAT forgets."""
        return self._each(_Connection.vanish)

    def swallow(self) -> int:
        """Vanishes, and so does what comes: nobody is refused, and nobody is answered."""
        self._swallowing = True
        return self.vanish()

    def stall(self) -> int:
        """Holds everything back, without loss."""
        self._flowing.clear()
        return len(self._connections)

    def delay(self, seconds: float) -> int:
        """Carries everything so much later."""
        self.latency = seconds
        return len(self._connections)

    def shred(self, piece: int) -> int:
        """Carries at most so many bytes at a time."""
        self.piece = piece
        return len(self._connections)

    def refuse(self) -> int:
        """Resets what is there, and what comes."""
        self._refusing = True
        return self.cut()

    def mend(self) -> None:
        """All is well again, but for what has vanished."""
        self._flowing.set()
        self._refusing = False
        self._swallowing = False
        self.latency = 0.0
        self.piece = CHUNK_BYTES

    def _each(self, do: Callable[[_Connection], None]) -> int:
        there = [each for each in self._connections if not each.vanished]
        for each in there:
            do(each)
        return len(there)

    async def _accept(self, near_in: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        port = self._target()
        if self._refusing or port is None:
            _reset(near)
            return
        try:
            far_in, far = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            _reset(near)
            return
        connection = _Connection(self, near, far)
        connection.vanished = self._swallowing
        self._connections.add(connection)
        try:
            await connection.carry(near_in, far_in)
        finally:
            self._connections.discard(connection)


class _Connection:
    """One client's connection and the one to the server that belongs to it."""

    def __init__(self, line: Line, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self.vanished = False
        self._line = line
        self._near = near
        self._far = far
        self._released = asyncio.Event()
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def carry(self, near_in: asyncio.StreamReader, far_in: asyncio.StreamReader) -> None:
        """Both ways, until either end or a fault is the end of it."""
        ways = [
            asyncio.ensure_future(self._carry(near_in, self._far)),
            asyncio.ensure_future(self._carry(far_in, self._near)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            if self.vanished:
                # The ends are held open, so that neither learns of it, until the run is over.
                await self._released.wait()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for end in (self._near, self._far):
                end.close()
            self.over.set_result(None)

    def reset(self) -> None:
        for end in (self._near, self._far):
            _reset(end)
        self._released.set()

    def finish(self) -> None:
        for end in (self._near, self._far):
            end.close()

    def vanish(self) -> None:
        self.vanished = True

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(CHUNK_BYTES):
                await self._pass_on(data, sink)

    async def _pass_on(self, data: bytes, sink: asyncio.StreamWriter) -> None:
        line = self._line
        while data:
            await line.flowing.wait()
            if line.latency:
                await asyncio.sleep(line.latency)
            if self.vanished:
                await self._released.wait()
                return
            piece, data = data[: line.piece], data[line.piece :]
            sink.write(piece)
            await sink.drain()
            if data:
                await asyncio.sleep(0)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock: socket.socket = writer.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
