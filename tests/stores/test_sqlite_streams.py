from __future__ import annotations

import asyncio
from collections.abc import Callable
from sqlite3 import Connection
from typing import Any

import pytest

from tidegate.core.events import Completed, Delta, Usage
from tidegate.core.log import Log
from tidegate.errors import StreamNotFound
from tidegate.stores.records import StreamRecord
from tidegate.stores.sqlite.rows import Row
from tidegate.stores.sqlite.streams import Streams

pytestmark = pytest.mark.anyio

LOG = Log("aaaa")
LOG.append([Delta("a"), Completed("stop", Usage(1, 1, 2))])
ROW = Row(1, StreamRecord(id="gen_1", owner="anna", model="m", created_at=1.0), LOG.epochs, LOG.tail)


class Answers:
    """Answers in turn; a callable is called in between, while the answer is on its way."""

    def __init__(self) -> None:
        self.left: list[Any] = []
        self.meanwhile: Callable[[], None] = lambda: None

    async def __call__(self, _: Callable[[Connection], Any]) -> Any:
        answer = self.left.pop(0)
        await asyncio.sleep(0)
        self.meanwhile()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_what_is_forgotten_while_it_is_looked_up_is_not_found() -> None:
    """An answer from before the stream was forgotten does not bring it back."""
    answers = Answers()
    streams = Streams(answers, 1000)
    answers.left = [ROW, StreamNotFound("gone")]
    answers.meanwhile = lambda: streams.drop("gen_1")
    with pytest.raises(StreamNotFound):
        await streams.found("gen_1")
    assert streams.held("gen_1") is None


async def test_what_is_forgotten_while_it_is_loaded_is_not_found() -> None:
    """A log that was read before the stream was forgotten is not shown after."""
    answers = Answers()
    streams = Streams(answers, 1000)
    answers.left = [ROW]
    await streams.found("gen_1")
    answers.left = [(ROW, LOG), StreamNotFound("gone")]
    answers.meanwhile = lambda: streams.drop("gen_1")
    with pytest.raises(StreamNotFound):
        await streams.loaded("gen_1")
    assert streams.held("gen_1") is None


async def test_a_log_is_loaded_once_for_all_who_ask() -> None:
    """Those who come back together for one stream cost one read."""
    answers = Answers()
    streams = Streams(answers, 1000)
    answers.left = [ROW]
    await streams.found("gen_1")
    answers.left = [(ROW, LOG)]
    held = await asyncio.gather(*(streams.loaded("gen_1") for _ in range(10)))
    assert {id(each.whole) for each in held} == {id(LOG)}


async def test_a_stream_that_is_being_made_is_waited_for() -> None:
    """The file may have a live stream a moment before memory has it: it is found once both do."""
    answers = Answers()
    streams = Streams(answers, 1000)
    answers.left = [Row(1, ROW.record, LOG.epochs, None), ROW]
    assert (await streams.found("gen_1")).cursor == LOG.cursor
