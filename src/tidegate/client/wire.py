"""What a client needs of a connection to its server. There are two: one blocks, the other one awaits.

What is written once for both is written as coroutines. Over a wire that blocks they never wait for anything but the
calls within, so that they are over when they have been begun: `done` runs them.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol, TypeVar

from tidegate.client.head import Head


class Request(NamedTuple):
    """What is sent. `path` has the query, and goes below the path of the server's URL."""

    method: str
    path: str
    fields: Mapping[str, str]
    body: bytes | None = None

    def __repr__(self) -> str:
        # Its fields have the key, and whatever prints a traceback with local variables would show it.
        return f"Request({self.method} {self.path})"


class Line(Protocol):
    """Carries one exchange after the other, for one user at a time."""

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        ...

    async def send(self, request: Request, seconds: float) -> Head:
        """Sends a request; returns the head of the answer, if it comes within `seconds`.

        Raises `NoAnswer`, and `ConfigError` where a certificate is the reason.
        """
        ...

    async def read(self, seconds: float) -> bytes:
        """The next bytes of the answer's body, within `seconds`; empty at its end. Raises `NoAnswer`."""
        ...

    async def wait(self, seconds: float) -> None:
        """Returns after so many seconds, or when the line is closed."""
        ...

    def release(self) -> None:
        """Gives the connection up, or back where the whole answer was read."""
        ...

    def close(self) -> None:
        """Ends whatever the line's user is waiting for, from whichever thread; the line is not used again."""
        ...


class Wire(Protocol):
    """Where lines to one server come from."""

    def line(self) -> Line: ...

    def lock(self) -> AbstractAsyncContextManager[object]:
        """A lock for those who share a line."""
        ...


Result = TypeVar("Result")


def done(work: Coroutine[Any, Any, Result]) -> Result:
    """What a coroutine over a wire that blocks returns."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    finally:
        # An interrupt may have come before the beginning.
        work.close()
    raise AssertionError("a wire that blocks has awaited something")
