"""Clients that are gone without a word, and what a server still has of them."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import socket
import struct
from pathlib import Path
from typing import Any

import pytest
import ws_kit
from api_kit import fetch

SO_ATTACH_FILTER = 26
DROP_ALL = struct.pack("HBBI", 0x06, 0, 0, 0)
"""A program of the BSD packet filter: return 0 bytes of whatever comes (socket(7), linux/filter.h)."""

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no seconds: to close is to send an RST."""


def deafen(sock: socket.socket) -> None:
    """From here on nothing arrives at the socket, so that nothing is acknowledged: a path that is lost.

    It does what pulling a cable does, without a network of its own, which only root could make.
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        pytest.skip("only Linux is told when to give a client up")
    program = ctypes.create_string_buffer(DROP_ALL)
    try:
        sock.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(DROP_ALL) // 8, ctypes.addressof(program))
        )
    except OSError as error:
        pytest.skip(f"no packet filter on this machine: {error}")


def connected(port: int, request: bytes, until: bytes, *, source: str = "127.0.0.1") -> socket.socket:
    """A connection on which this was asked, and so much of the answer has come. It blocks."""
    sock = socket.create_connection(("127.0.0.1", port), ws_kit.DEADLINE_SECONDS, (source, 0))
    sock.sendall(request)
    answer = b""
    while until not in answer:
        data = sock.recv(65536)
        assert data, answer
        answer += data
    return sock


def vanish(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    """Breaks a connection off: with an RST, or as the kernel does for a process that has died."""
    if reset:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def are_left(url: str, count: int) -> bool:
    """Whether the registry has so many connections."""
    return len((await _found(f"{url}/v1/admin/connections?limit=1000"))["data"]) == count


async def none_runs(url: str) -> bool:
    """Whether no generation is live."""
    return (await _found(f"{url}/v1/admin/streams?status=running"))["data"] == []


async def present(url: str, topic: str = "room") -> list[dict[str, Any]]:
    return await _found(f"{url}/v1/topics/{topic}/presence")


async def _found(url: str) -> Any:
    status, _, body = await fetch(url)
    assert status == 200, body
    return body


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


def post(path: str, body: object) -> bytes:
    """A request with this body."""
    content = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: "
    return f"{head}{len(content)}\r\n\r\n".encode() + content


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))
