from __future__ import annotations

import asyncio
import gc
from asyncio import Future
from collections.abc import Sequence
from itertools import pairwise

import pytest
from eventually_kit import eventually

from tidegate.core.events import Completed, Event, Usage
from tidegate.errors import Fenced, OffsetMismatch, StoreUnavailable
from tidegate.stores.records import Fence
from tidegate.streams.ending import again, append_end, write_end

pytestmark = pytest.mark.anyio

FENCE = Fence("gen_1", "e")
END = Completed("stop", Usage(0, 1, 1))
FULL = StoreUnavailable("the disk is full")


class Log:
    """A log whose appends are answered, or refused, with these in turn; `expected` are the tails that they named."""

    def __init__(self, *answers: int | Exception | Future[int]) -> None:
        self._answers = list(answers)
        self.expected: list[int] = []

    def append(self, events: Sequence[Event], *, fence: Fence, expected: int) -> int | Future[int]:
        assert (events, fence) == ([END], FENCE)
        self.expected.append(expected)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def write(log: Log) -> None:
    await write_end(log, FENCE, 7, END, retry=(0.0,))  # type: ignore[arg-type]


async def test_an_end_is_written_once() -> None:
    """A store that takes it is not asked again."""
    log = Log(8)
    await write(log)
    assert log.expected == [7]


async def test_an_end_is_written_as_soon_as_the_store_can() -> None:
    """However often it could not: until then readers would wait for ever."""
    log = Log(FULL, FULL, FULL, 8)
    await write(log)
    assert log.expected == [7] * 4


async def test_an_end_follows_the_tail() -> None:
    """An append for whose answer nobody has waited may have moved it, also while the store could not write."""
    log = Log(FULL, OffsetMismatch("moved", tail=9), 10)
    await write(log)
    assert log.expected == [7, 7, 9]


@pytest.mark.parametrize("before", [(), (FULL,)])
async def test_a_stream_that_is_anothers_is_left_to_it(before: Sequence[Exception]) -> None:
    """Any other refusal is for the caller, at the first attempt and at a later one."""
    with pytest.raises(Fenced):
        await write(Log(*before, Fenced("not yours")))


async def test_a_commit_goes_on_without_its_caller() -> None:
    """What the store has begun to write is its own."""
    commit: Future[int] = asyncio.get_running_loop().create_future()
    log = Log(commit)
    writing = asyncio.create_task(append_end(log, FENCE, 7, END))  # type: ignore[arg-type]
    await eventually(lambda: bool(log.expected))
    writing.cancel()
    await asyncio.wait((writing,))
    assert (writing.cancelled(), commit.cancelled()) == (True, False)


async def test_a_refusal_that_nobody_waits_for_is_no_error_of_the_loop() -> None:
    """Whoever wrote the end has learnt meanwhile that the stream is another's."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    answer: Future[int] = asyncio.get_running_loop().create_future()
    log = Log(answer)
    writing = asyncio.create_task(write(log))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    answer.set_exception(Fenced("another node fills this stream now"))
    await asyncio.sleep(0)
    log._answers.clear()
    del answer
    gc.collect()
    assert complaints == []


async def test_the_waits_grow_and_the_last_one_stays() -> None:
    """A store that was away for a moment is asked soon, and one that is away for hours not all the time."""
    moments = [asyncio.get_running_loop().time()]

    async def work() -> int:
        moments.append(asyncio.get_running_loop().time())
        if len(moments) < 5:
            raise FULL
        return 8

    assert await again(work, retry=(0.005, 0.02)) == 8
    waited = [later - earlier for earlier, later in pairwise(moments)]
    assert all(seconds >= least for seconds, least in zip(waited, (0.005, 0.02, 0.02, 0.02), strict=True))
