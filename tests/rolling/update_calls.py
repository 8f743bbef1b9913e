"""Calls with JSON bodies over one connection that is kept, as HTTP clients do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

TIMEOUT_SECONDS = 20.0

BROKEN = (OSError, ValueError, IndexError, asyncio.IncompleteReadError, TimeoutError)
"""What a connection that fails raises."""


class Line:
    """A connection that is made when it is needed, to the port that `pick` answers, and kept for as long as the server
    keeps it."""

    def __init__(self, pick: Callable[[], int]) -> None:
        self._pick = pick
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        """Status and body of a call. One that finds its kept connection closed is made again. Raises `BROKEN`."""
        is_kept = self._streams is not None
        try:
            return await self._call(method, path, body, headers or {})
        except BROKEN:
            self.close()
            if not is_kept:
                raise
        return await self._call(method, path, body, headers or {})

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _call(self, method: str, path: str, body: object, headers: Mapping[str, str]) -> tuple[int, Any]:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._pick())
            reader, writer = self._streams
            writer.write(_request(method, path, body, headers))
            status = int((await reader.readuntil(b"\r\n")).split()[1])
            found = await _fields(reader)
            content = await reader.readexactly(int(found.get("content-length", 0)))
        if found.get("connection") == "close":
            self.close()
        return status, msgspec.json.decode(content) if content else None


def _request(method: str, path: str, body: object, headers: Mapping[str, str]) -> bytes:
    payload = b"" if body is None else msgspec.json.encode(body)
    fields = {"host": "localhost", "content-type": "application/json", "content-length": str(len(payload)), **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + payload


async def _fields(reader: asyncio.StreamReader) -> dict[str, str]:
    fields: dict[str, str] = {}
    while line := (await reader.readuntil(b"\r\n")).rstrip():
        name, _, value = line.decode("latin-1").partition(":")
        fields[name.lower()] = value.strip()
    return fields
