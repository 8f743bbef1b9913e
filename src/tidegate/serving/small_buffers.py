"""Lighter versions of asyncio's primitives: each connection has several, and an empty deque alone takes 624 bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


def lighten(event: asyncio.Event) -> None:
    """Replaces the deque of an event, which nobody waits for yet, by a list."""
    event._waiters = []  # type: ignore[attr-defined]


class MessageQueue(Generic[T]):
    """As much of `asyncio.Queue`, which has four deques, as a single consumer needs."""

    __slots__ = ("_items", "_tell", "_waiter")

    def __init__(self) -> None:
        self._items: list[T] = []
        self._waiter: asyncio.Future[None] | None = None
        self._tell: Callable[[], None] | None = None

    def on_item(self, tell: Callable[[], None] | None) -> None:
        """Sets what is called with each item that is put, for a consumer that waits in no coroutine; None: nothing."""
        self._tell = tell

    def empty(self) -> bool:
        return not self._items

    def put_nowait(self, item: T) -> None:
        self._items.append(item)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self._tell is not None:
            self._tell()

    def drop(self, unwanted: Callable[[T], bool]) -> None:
        """Forgets these items."""
        self._items = [item for item in self._items if not unwanted(item)]

    async def get(self) -> T:
        """The oldest item, once there is one."""
        while not self._items:
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._items.pop(0)
