"""A client of the API over real sockets, that can break its connection wherever it likes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from tidegate.core.sse import Decoder, ServerSentEvent


class Answer:
    """A response whose body is still to be read."""

    def __init__(self, status: int, headers: Mapping[str, str], reader: asyncio.StreamReader) -> None:
        self.status = status
        self.headers = headers
        self.decoder = Decoder()
        self._reader = reader

    async def body(self) -> bytes:
        """The whole body. Raises `IncompleteReadError` where the server broke it off."""
        if "content-length" in self.headers:
            return await self._reader.readexactly(int(self.headers["content-length"]))
        return b"".join([chunk async for chunk in self.chunks()])

    async def json(self) -> Any:
        return json.loads(await self.body())

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of a chunked body, as they come."""
        while size := int(await self._reader.readline() or b"-1", 16):
            if size < 0:
                raise asyncio.IncompleteReadError(b"", None)
            yield (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readline()

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        """The events of an event stream, until its clean end."""
        async for chunk in self.chunks():
            for event in self.decoder.feed(chunk):
                yield event


@asynccontextmanager
async def call(
    url: str, method: str = "GET", body: object = None, headers: Mapping[str, str] | None = None
) -> AsyncIterator[Answer]:
    """One request on a connection of its own, which leaving cuts with a reset."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 26)
    try:
        payload = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {"host": parts.netloc, "content-type": "application/json", **(headers or {})}
        if payload or method == "POST":
            fields["content-length"] = str(len(payload))
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        writer.write(head.encode() + b"\r\n" + payload)
        async with asyncio.timeout(30):
            status = int((await reader.readline()).split()[1])
            found: dict[str, str] = {}
            while (line := (await reader.readline()).strip()) != b"":
                name, _, value = line.decode("latin-1").partition(":")
                found[name.lower()] = value.strip()
        yield Answer(status, found, reader)
    finally:
        writer.transport.abort()


async def fetch(
    url: str, method: str = "GET", body: object = None, headers: Mapping[str, str] | None = None
) -> tuple[int, Mapping[str, str], Any]:
    """Status, headers and JSON body of a call."""
    async with call(url, method, body, headers) as answer:
        content = b"" if answer.status == 204 else await answer.body()
        return answer.status, answer.headers, json.loads(content) if content else None
