"""Clients of tidegate and of its upstreams.

    from tidegate.client import Client

    for event in Client("http://127.0.0.1:8000").start({"model": "smollm2", "prompt": "Hello"}):
        print(event.type, event.data)

`Client` blocks, `AsyncClient` awaits. What they raise is below `TidegateError`; docs/python.md has all of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidegate.client.async_client import AsyncClient
    from tidegate.client.async_producer import AsyncProducer
    from tidegate.client.async_stream import AsyncStream
    from tidegate.client.client import Client
    from tidegate.client.offline import Offline
    from tidegate.client.producer import Producer
    from tidegate.client.reader import Detail, State
    from tidegate.client.session import Event
    from tidegate.client.stream import Stream
    from tidegate.errors import (
        Conflict,
        Fenced,
        Forbidden,
        InvalidRequest,
        NotFound,
        RateLimited,
        StreamEnded,
        TidegateError,
        Unauthenticated,
        Unavailable,
    )

__all__ = [
    "AsyncClient",
    "AsyncProducer",
    "AsyncStream",
    "Client",
    "Conflict",
    "Detail",
    "Event",
    "Fenced",
    "Forbidden",
    "InvalidRequest",
    "NotFound",
    "Offline",
    "Producer",
    "RateLimited",
    "State",
    "Stream",
    "StreamEnded",
    "TidegateError",
    "Unauthenticated",
    "Unavailable",
]

_HOMES = {
    "AsyncClient": "async_client",
    "AsyncProducer": "async_producer",
    "AsyncStream": "async_stream",
    "Client": "client",
    "Detail": "reader",
    "Event": "session",
    "Offline": "offline",
    "Producer": "producer",
    "State": "reader",
    "Stream": "stream",
}


def __getattr__(name: str) -> object:
    """Imports what is asked for: who blocks needs no asyncio, and who lists an upstream's models none of both."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = f"tidegate.client.{_HOMES[name]}" if name in _HOMES else "tidegate.errors"
    return getattr(importlib.import_module(home), name)
