"""HTTP over raw sockets: clients that lose patience, and notice when an answer was broken off."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

MAX_LINE = 1 << 24


class Broken(Exception):
    """There was no whole answer: what was asked for may or may not have happened."""


class Answer:
    """A response whose head has come."""

    def __init__(self, status: int, headers: Mapping[str, str], reader: asyncio.StreamReader) -> None:
        self.status = status
        self.headers = headers
        self._reader = reader

    async def body(self) -> bytes:
        if "content-length" in self.headers:
            return await self._reader.readexactly(int(self.headers["content-length"]))
        return b"" if self.status == 204 else b"".join([chunk async for chunk in self.chunks(silence=5.0)])

    async def chunks(self, *, silence: float) -> AsyncIterator[bytes]:
        """The chunks of the body as they come, decompressed. Raises `Broken` after so many silent seconds, or a cut."""
        inflate = zlib.decompressobj(31).decompress if self.headers.get("content-encoding") == "gzip" else _same
        try:
            while True:
                async with asyncio.timeout(silence):
                    line = await self._reader.readline()
                    size = int(line, 16)
                    chunk = (await self._reader.readexactly(size + 2))[:-2]
                if not size:
                    return
                yield inflate(chunk)
        except (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError) as error:
            raise Broken(f"{type(error).__name__}: {error}") from error


def _same(data: bytes) -> bytes:
    return data


@asynccontextmanager
async def call(
    url: str,
    method: str = "GET",
    body: object = None,
    headers: Mapping[str, str] | None = None,
    *,
    patience: float,
) -> AsyncGenerator[Answer]:
    """One request on a connection of its own, for whose head it waits so many seconds. Raises `Broken`."""
    parts = urlsplit(url)
    writer: asyncio.StreamWriter | None = None
    try:
        try:
            async with asyncio.timeout(patience):
                reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=MAX_LINE)
                writer.write(_request(url, method, body, headers or {}))
                answer = await _head(reader)
        except (OSError, ValueError, IndexError, asyncio.IncompleteReadError, TimeoutError) as error:
            raise Broken(f"{type(error).__name__}: {error}") from error
        yield answer
    finally:
        if writer is not None:
            writer.transport.abort()


async def fetch(
    url: str,
    method: str = "GET",
    body: object = None,
    headers: Mapping[str, str] | None = None,
    *,
    patience: float = 2.0,
) -> tuple[int, Mapping[str, str], Any]:
    """Status, headers and JSON body of a call; None where it has another one. Raises `Broken`."""
    async with call(url, method, body, headers, patience=patience) as answer:
        try:
            async with asyncio.timeout(patience):
                content = await answer.body()
        except (OSError, ValueError, asyncio.IncompleteReadError, TimeoutError) as error:
            raise Broken(f"{type(error).__name__}: {error}") from error
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.status, answer.headers, json.loads(content) if is_json else None


def _request(url: str, method: str, body: object, headers: Mapping[str, str]) -> bytes:
    parts = urlsplit(url)
    payload = b"" if body is None else json.dumps(body).encode()
    fields = {"host": parts.netloc, "content-type": "application/json", **headers}
    if payload or method == "POST":
        fields["content-length"] = str(len(payload))
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head.encode() + b"\r\n" + payload


async def _head(reader: asyncio.StreamReader) -> Answer:
    status = int((await reader.readuntil(b"\r\n")).split()[1])
    headers: dict[str, str] = {}
    while line := (await reader.readuntil(b"\r\n")).rstrip():
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return Answer(status, headers, reader)
