"""Ctrl-C at every moment of a read by a program that blocks."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from tidegate.client import Stream
from tidegate.client.api import Api
from tidegate.client.calls import Calls
from tidegate.client.head import Head
from tidegate.client.reader import Reader
from tidegate.client.wire import Request

TEXTS = ["a", "b", "c", "d"]
BLOCKS = [f"id: e-{at}\nevent: delta\ndata: {json.dumps({'text': text})}\n\n" for at, text in enumerate(TEXTS, 1)]
END = 'id: e-5\nevent: completed\ndata: {"finish_reason":"stop"}\n\n'

PATIENCE = 2000
"""So many lines no single call runs through."""


class Wire:
    """A server without sockets: two events in each chunk, and it goes on after the cursor that it is asked for."""

    closed = False

    def __init__(self) -> None:
        self._chunks: list[str] = []

    def line(self) -> Wire:
        return self

    async def send(self, request: Request, seconds: float) -> Head:
        after = int(request.path.partition("after=e-")[2] or 0)
        left = [*BLOCKS, END][after:]
        self._chunks = ["".join(left[at : at + 2]) for at in range(0, len(left), 2)]
        return Head(200, {"content-type": "text/event-stream"})

    async def read(self, seconds: float) -> bytes:
        return self._chunks.pop(0).encode() if self._chunks else b""

    async def wait(self, seconds: float) -> None: ...

    def release(self) -> None:
        self._chunks = []

    def close(self) -> None: ...

    def lock(self) -> Any: ...


def followed() -> Stream:
    calls = Calls(Wire(), "", attempts=4, random=lambda: 0.0)
    return Stream(Reader(calls, "gen_1", on_state=None), Api(calls))


def interrupted_at(line: int, work: Callable[[], Any]) -> Any:
    """What the work returns; a Ctrl-C comes at its n-th line. Between `handed` and the return nothing is called, so
    that Python looks for no signal there."""
    own: CodeType = Stream.__next__.__code__
    left = line

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if "tidegate" not in frame.f_code.co_filename or (frame.f_code is own and event != "call"):
            return trace
        left -= 1
        if left == 0:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return work()
    finally:
        sys.settrace(before)


def test_ctrl_c_at_any_line_loses_no_event_and_shows_none_twice() -> None:
    """Who iterates again gets what was not handed over, once, and the text is whole."""
    for line in range(1, PATIENCE):
        stream, interrupts = followed(), 0
        seen: list[str] = []
        for _ in range(3):
            try:
                seen.append(interrupted_at(line, lambda stream=stream: next(stream)).cursor)
            except KeyboardInterrupt:
                interrupts += 1
            assert stream.cursor == (seen[-1] if seen else "")
        seen += [event.cursor for event in stream]
        assert seen == [f"e-{at}" for at in range(1, 6)], f"interrupted at line {line}"
        assert stream.text() == "abcd"
        if interrupts == 0:
            return
    raise AssertionError("a call does not end")
