"""A receiver for the tests of connections."""

from __future__ import annotations

import asyncio

from tidegate.http_client.connection import ResponseHead


class Collector:
    """A receiver that keeps what it is given."""

    def __init__(self) -> None:
        self.head: ResponseHead | None = None
        self.reads: list[bytes] = []
        self.ends: list[Exception | None] = []
        self.over = asyncio.Event()

    @property
    def body(self) -> bytes:
        return b"".join(self.reads)

    def answered(self, head: ResponseHead) -> None:
        assert self.head is None
        assert not self.reads
        self.head = head

    def receive(self, data: bytes) -> None:
        self.reads.append(data)

    def closed(self, error: Exception | None) -> None:
        self.ends.append(error)
        self.over.set()
