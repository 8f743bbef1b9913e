from __future__ import annotations

import asyncio
from typing import Any

import pytest
from eventually_kit import eventually

from tidegate.serving.small_buffers import MessageQueue
from tidegate.serving.ws_listening import Listening

pytestmark = pytest.mark.anyio


class Host:
    """A socket without a connection, whose failure leaves only the disconnect to be heard."""

    def __init__(self) -> None:
        self.queue: MessageQueue[str] = MessageQueue()
        self.tasks: set[asyncio.Task[None]] = set()
        self.failures: list[BaseException] = []
        self.heard: list[str] = []
        self.go_on = asyncio.Event()

    async def receive(self) -> str:
        return await self.queue.get()

    def failed(self, error: BaseException) -> None:
        self.failures.append(error)
        self.queue.drop(lambda _: True)
        self.queue.put_nowait("disconnect")

    async def hear(self, message: Any) -> None:
        self.heard.append(message)
        if message == "broken":
            raise ValueError(message)
        await self.go_on.wait()


async def test_the_server_waits_for_a_message_that_is_being_answered() -> None:
    """Its task is among those that the server waits for, and may cancel, before it stops; only until it is answered."""
    host = Host()
    Listening(host, host.hear)
    assert not host.tasks
    host.queue.put_nowait("1")
    await eventually(lambda: host.heard == ["1"])
    assert len(host.tasks) == 1
    host.go_on.set()
    await eventually(lambda: not host.tasks)


@pytest.mark.parametrize("begun", [True, False])
async def test_nothing_waits_for_ever_behind_a_cancelled_message(begun: bool) -> None:
    """Whether the cancellation comes while a message is answered, or before the first step of that."""
    host = Host()
    Listening(host, host.hear)
    host.queue.put_nowait("1")
    host.queue.put_nowait("2")
    if begun:
        await eventually(lambda: host.heard == ["1"])
    host.go_on.set()
    (task,) = host.tasks
    task.cancel()
    await eventually(lambda: "disconnect" in host.heard)
    assert host.heard == [*(["1"] if begun else []), "disconnect"]
    assert [type(each) for each in host.failures] == [asyncio.CancelledError]
    await eventually(lambda: not host.tasks)


async def test_a_listener_that_raises_is_told_of_to_its_socket() -> None:
    """The error is not left in a task that nobody looks at."""
    host = Host()
    host.go_on.set()
    Listening(host, host.hear)
    for message in ("broken", "2"):
        host.queue.put_nowait(message)
    await eventually(lambda: host.heard == ["broken", "disconnect"])
    assert [str(each) for each in host.failures] == ["broken"]


@pytest.mark.parametrize("turns", range(4))
async def test_what_comes_as_its_task_ends_is_heard(turns: int) -> None:
    """In whichever turn of the loop behind the message before, and though nothing comes after it."""
    host = Host()
    host.go_on.set()
    Listening(host, host.hear)
    host.queue.put_nowait("1")
    for _ in range(turns):
        await asyncio.sleep(0)
    host.queue.put_nowait("2")
    await eventually(lambda: host.heard == ["1", "2"])
