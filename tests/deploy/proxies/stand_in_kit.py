"""Stand-ins for the nodes behind a proxy, which note what arrives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from front_kit import FRONTS, Front
from port_kit import free_port

# With the longest cookie that tidegate sets.
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nset-cookie: %b\r\n\r\n" % (4096 * b"c")
NOT_READY = ANSWER.replace(b"200 OK", b"503 Service Unavailable")


class Arrived(NamedTuple):
    """A request: its method, its target, and its headers by their names in lower case."""

    method: str
    target: str
    headers: dict[str, str]


class StandIn:
    """Answers what it is asked, or, where it `drops`, reads it whole and closes the connection. `/readyz` is answered
    by whether it is `ready`, `/healthz` well; `arrived` has everything else."""

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self.drops = False
        self.ready = True

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while answer := await self._answer(reader):
                writer.write(answer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes | None:
        request = _parsed((await reader.readuntil(b"\r\n\r\n")).decode())
        await reader.readexactly(int(request.headers.get("content-length", "0")))
        if request.target in ("/readyz", "/healthz"):
            return NOT_READY if request.target == "/readyz" and not self.ready else ANSWER
        self.arrived.append(request)
        return None if self.drops else ANSWER


class Watched(NamedTuple):
    """A proxy before two stand-ins."""

    front: Front
    near: StandIn
    far: StandIn

    @property
    def arrived(self) -> list[Arrived]:
        return [*self.near.arrived, *self.far.arrived]


@asynccontextmanager
async def watched(name: str, folder: Path, *, listening: int = 2) -> AsyncIterator[Watched]:
    """The proxy of this name; only so many of its nodes listen."""
    near, far = nodes = StandIn(), StandIn()
    addresses = [f"127.0.0.1:{free_port()}" for _ in nodes]
    async with AsyncExitStack() as stack:
        for node, address in list(zip(nodes, addresses, strict=True))[2 - listening :]:
            await stack.enter_async_context(await asyncio.start_server(node.serve, *address.split(":")))
        with FRONTS[name](folder, addresses, free_port()) as front:
            yield Watched(front, near, far)


def _parsed(head: str) -> Arrived:
    first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    return Arrived(method, target, {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)})
