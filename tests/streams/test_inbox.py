from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from eventually_kit import eventually

from tidegate.errors import StreamEnded
from tidegate.streams.inbox import Inbox

PATIENCE = 5.0


def started(work: Callable[..., None], *args: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=args, daemon=True)
    thread.start()
    return thread


async def ended(threads: list[threading.Thread]) -> None:
    for thread in threads:
        await asyncio.to_thread(thread.join, 60)
        assert not thread.is_alive()


class Producer:
    """A thread that puts the numbers from 0 and remembers how far it got, and what stopped it."""

    def __init__(self, inbox: Inbox[tuple[int, int]], count: int, name: int = 0) -> None:
        self.inbox = inbox
        self.count = count
        self.name = name
        self.done = 0
        self.stopped: StreamEnded | None = None
        self.thread = started(self._work)

    def _work(self) -> None:
        try:
            for number in range(self.count):
                self.inbox.put((self.name, number))
                self.done += 1
        except StreamEnded as error:
            self.stopped = error


async def fill(threads: int, count: int, capacity: int) -> tuple[list[list[tuple[int, int]]], int]:
    """The batches delivered, and the wake-ups it took, when so many threads put so many items each."""
    batches: list[list[tuple[int, int]]] = []
    inbox = Inbox[tuple[int, int]](capacity, batches.append, asyncio.get_running_loop())
    await ended([Producer(inbox, count, name).thread for name in range(threads)])
    await inbox.settled()
    return batches, inbox.wakeups


def assert_each_once_in_order(batches: list[list[tuple[int, int]]], threads: int, count: int) -> None:
    numbers: list[list[int]] = [[] for _ in range(threads)]
    for batch in batches:
        for name, number in batch:
            numbers[name].append(number)
    assert numbers == [list(range(count))] * threads


@pytest.mark.anyio
async def test_eight_native_threads_put_a_hundred_thousand_each() -> None:
    """Every item arrives once, in its thread's order, in bounded memory, with far fewer wake-ups than items."""
    batches, wakeups = await fill(threads=8, count=100_000, capacity=1024)
    assert_each_once_in_order(batches, 8, 100_000)
    assert max(map(len, batches)) <= 1024
    assert wakeups == len(batches)
    assert wakeups < 800_000 / 50


@pytest.mark.anyio
@pytest.mark.parametrize("capacity", [1, 2, 3])
async def test_tiny_buffer_loses_nothing(capacity: int) -> None:
    """However small the buffer, and however often threads wait, every item arrives once and in order."""
    batches, _ = await fill(threads=8, count=500, capacity=capacity)
    assert_each_once_in_order(batches, 8, 500)
    assert max(map(len, batches)) <= capacity


@pytest.mark.anyio
async def test_thread_waits_while_the_buffer_is_full() -> None:
    """A consumer that pauses stops the threads at the buffer's size, and they go on when it resumes."""
    batches: list[list[tuple[int, int]]] = []
    inbox = Inbox[tuple[int, int]](4, batches.append, asyncio.get_running_loop())
    inbox.pause()
    producer = Producer(inbox, 10)
    await eventually(lambda: producer.done == 4)
    assert batches == []
    inbox.resume()
    await ended([producer.thread])
    await inbox.settled()
    assert batches[0] == [(0, number) for number in range(4)]
    assert_each_once_in_order(batches, 1, 10)


@pytest.mark.anyio
async def test_pause_holds_back_a_drain_that_is_on_its_way() -> None:
    """Once paused, nothing is delivered, not even what had already woken the loop."""
    got: list[int] = []
    inbox = Inbox[int](4, got.extend, asyncio.get_running_loop())
    started(inbox.put, 1).join()
    inbox.pause()
    drained = asyncio.Event()
    asyncio.get_running_loop().call_soon(drained.set)
    await drained.wait()
    assert got == []
    inbox.resume()
    await inbox.settled()
    assert got == [1]


@pytest.mark.anyio
async def test_one_wakeup_for_all_that_is_waiting() -> None:
    """Items put before the loop gets to run come together, and wake it once."""
    batches: list[list[int]] = []
    inbox = Inbox[int](100, batches.append, asyncio.get_running_loop())
    started(lambda: [inbox.put(number) for number in range(50)]).join()
    assert inbox.wakeups == 1
    await inbox.settled()
    assert batches == [list(range(50))]


@pytest.mark.anyio
async def test_settled_returns_at_once_when_nothing_waits() -> None:
    """Who never used threads does not wait for them."""
    inbox = Inbox[int](4, lambda _: None, asyncio.get_running_loop())
    await asyncio.wait_for(inbox.settled(), PATIENCE)


@pytest.mark.anyio
async def test_settled_survives_being_cancelled() -> None:
    """One that stops waiting does not disturb the others, nor the delivery."""
    got: list[int] = []
    inbox = Inbox[int](4, got.extend, asyncio.get_running_loop())
    inbox.pause()
    started(inbox.put, 1).join()
    waiting = [asyncio.create_task(inbox.settled()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    inbox.resume()
    await asyncio.wait_for(waiting[1], PATIENCE)
    assert waiting[0].cancelled()
    assert got == [1]


@pytest.mark.anyio
async def test_close_stops_waiting_and_later_puts() -> None:
    """When the stream ends, its threads are told so: those that wait for room, and those that come later."""
    got: list[tuple[int, int]] = []
    inbox = Inbox[tuple[int, int]](2, got.extend, asyncio.get_running_loop())
    inbox.pause()
    producers = [Producer(inbox, 10, name) for name in range(4)]
    await eventually(lambda: sum(producer.done for producer in producers) == 2)
    settled = asyncio.create_task(inbox.settled())
    await asyncio.sleep(0)
    inbox.close()
    await ended([producer.thread for producer in producers])
    assert all(producer.stopped for producer in producers)
    with pytest.raises(StreamEnded):
        inbox.put((9, 9))
    await asyncio.wait_for(settled, PATIENCE)
    inbox.resume()
    inbox.close()
    assert got == []


@pytest.mark.anyio
async def test_close_within_a_delivery() -> None:
    """A consumer that finds the end among the items may close at once."""
    got: list[tuple[int, int]] = []

    def deliver(items: list[tuple[int, int]]) -> None:
        got.extend(items)
        inbox.close()

    inbox = Inbox[tuple[int, int]](2, deliver, asyncio.get_running_loop())
    producer = Producer(inbox, 10)
    await ended([producer.thread])
    assert producer.stopped
    assert 1 <= len(got) <= 2


def test_closed_loop_stops_the_threads() -> None:
    """A thread that outlives its loop is stopped, whether it waits for room or comes later."""
    loop = asyncio.new_event_loop()
    inbox = Inbox[tuple[int, int]](2, lambda _: None, loop)
    producer = Producer(inbox, 10)
    loop.close()
    producer.thread.join(PATIENCE)
    assert producer.stopped
    with pytest.raises(StreamEnded):
        inbox.put((9, 9))


def test_loop_closed_while_all_wait() -> None:
    """Threads that wait for room when the loop closes without a word find out by themselves."""
    loop = asyncio.new_event_loop()
    inbox = Inbox[tuple[int, int]](1, lambda _: None, loop)
    producers = [Producer(inbox, 10, name) for name in range(3)]
    while sum(producer.done for producer in producers) < 1:
        threading.Event().wait(0.001)
    loop.close()
    for producer in producers:
        producer.thread.join(PATIENCE)
    assert all(producer.stopped for producer in producers)
