from __future__ import annotations

import asyncio

import pytest

from tidegate.serving.small_buffers import MessageQueue, lighten

pytestmark = pytest.mark.anyio


async def test_an_inbox_keeps_the_order() -> None:
    """What is put first is got first, whether somebody waits or not."""
    inbox: MessageQueue[int] = MessageQueue()
    inbox.put_nowait(1)
    inbox.put_nowait(2)
    assert [await inbox.get(), await inbox.get(), inbox.empty()] == [1, 2, True]
    waiting = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    inbox.put_nowait(3)
    inbox.put_nowait(4)
    assert [await waiting, await inbox.get()] == [3, 4]


async def test_who_gave_up_takes_nothing() -> None:
    """A reader that was cancelled leaves what comes to the next one."""
    inbox: MessageQueue[int] = MessageQueue()
    waiting = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    waiting.cancel()
    inbox.put_nowait(1)
    await asyncio.gather(waiting, return_exceptions=True)
    assert waiting.cancelled()
    assert await inbox.get() == 1


async def test_what_is_dropped_is_not_got() -> None:
    """The rest keeps its order."""
    inbox: MessageQueue[int] = MessageQueue()
    for number in range(4):
        inbox.put_nowait(number)
    inbox.drop(lambda number: number % 2 == 0)
    assert [await inbox.get(), await inbox.get(), inbox.empty()] == [1, 3, True]


async def test_a_light_event_works_as_any() -> None:
    """Who waits is woken, and one who gives up is forgotten."""
    event = asyncio.Event()
    lighten(event)
    waiting, other = (asyncio.ensure_future(event.wait()) for _ in range(2))
    await asyncio.sleep(0)
    other.cancel()
    event.set()
    assert await waiting is True


async def test_a_consumer_that_waits_in_no_coroutine_is_told_of_each_item() -> None:
    """Until it wants to know no more."""
    inbox: MessageQueue[int] = MessageQueue()
    told: list[bool] = []
    inbox.on_item(lambda: told.append(inbox.empty()))
    inbox.put_nowait(1)
    inbox.on_item(None)
    inbox.put_nowait(2)
    assert told == [False]
