"""Both faces of the Python client behind one form, so that a test is written once."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tidegate.client import AsyncClient, AsyncProducer, AsyncStream, Client, Event

WAIT_SECONDS = 30.0

Make = Callable[..., Any]


class Loop:
    """A loop of asyncio on a thread of its own; what a test leaves running on it is found at the end."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WAIT_SECONDS)

    def close(self) -> None:
        left = self.run(_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        assert left == []


async def _others() -> list[str]:
    """The tasks that are still there, once those that are about to end have ended."""
    for _ in range(10):
        await asyncio.sleep(0)
    return [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]


class Awaited:
    """An `AsyncClient`, or what it returns, with the form of `Client`."""

    def __init__(self, loop: Loop, inner: Any) -> None:
        self._loop = loop
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return (lambda *args, **options: self._result(found(*args, **options))) if callable(found) else found

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        try:
            return self._loop.run(self._inner.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def __enter__(self) -> Awaited:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._loop.run(self._inner.__aexit__(kind, error, trace))

    def _result(self, found: Any) -> Any:
        if asyncio.iscoroutine(found):
            found = self._loop.run(found)
        elif isinstance(found, AsyncStream | AsyncProducer):
            self._loop.run(found.__aenter__())
        return Awaited(self._loop, found) if isinstance(found, AsyncStream | AsyncProducer) else found


@contextmanager
def face(name: str) -> Iterator[Make]:
    """Makes clients of the face with this name; at the end nothing of them is left."""
    if name == "blocking":
        clients: list[Client] = []

        def blocking(url: str, *args: Any, **options: Any) -> Client:
            clients.append(Client(url, *args, **options))
            return clients[-1]

        yield blocking
        for each in clients:
            each.close()
        clients.clear()
    else:
        loop = Loop()
        awaiting: list[Awaited] = []

        def make(url: str, *args: Any, **options: Any) -> Awaited:
            awaiting.append(Awaited(loop, AsyncClient(url, *args, **options)))
            return awaiting[-1]

        try:
            yield make
            for each in awaiting:
                each.close()
        finally:
            loop.close()
    # A socket that nobody has closed is a warning now, and so an error. All that is old is not looked through again.
    gc.collect(1)


both = pytest.mark.parametrize("name", ["blocking", "awaiting"])
