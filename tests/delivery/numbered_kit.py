"""A dialect with a memory: it numbers its events, makes two of most that the log has, and ends with the whole text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tidegate.core import batching, sse
from tidegate.core.cursor import Cursor
from tidegate.core.events import TERMINAL_TYPES, Delta, Event
from tidegate.core.log import Entry
from tidegate.core.notices import Gap, Notice
from tidegate.core.ws_frame import TEXT, frame, read_head
from tidegate.dialects.base import Stand

Said = dict[str, Any]


class Memory(msgspec.Struct):
    """The number of the next event, the last offset, how many events of the next entry are had, and the text."""

    number: int = 0
    offset: int = 0
    had: int = 0
    text: str = ""


class Numbered:
    """The dialect over SSE."""

    remembers = True
    headers: Sequence[tuple[bytes, bytes]] = ((b"x-numbered", b"yes"),)
    preamble = b": numbered\n"
    heartbeat = b": heartbeat\n\n"

    def begin(self) -> Memory:
        return Memory()

    def fork(self, state: Memory) -> Memory:
        return msgspec.structs.replace(state)

    def skip(self, state: Memory, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self.said(state, entry)

    def encode(self, state: Memory, entries: Sequence[Entry], *, merge: bool) -> bytes:
        return b"".join(map(sse.encode, self.messages(state, entries, merge=merge)))

    def notice(self, state: Memory, notice: Notice) -> bytes:
        return sse.encode(self.message(state, notice))

    def position(self, token: str, *, param: str) -> NumberSearch:
        return NumberSearch(self, int(token))

    def messages(self, state: Memory, entries: Sequence[Entry], *, merge: bool) -> list[bytes]:
        # Of an entry that is had in part, the rest is said by itself.
        alone = 1 if state.had else 0
        shown = [*entries[:alone], *batching.merge(entries[alone:])] if merge else entries
        return [msgspec.json.encode(said) for entry in shown for said in self.said(state, entry)]

    def message(self, state: Memory, notice: Notice) -> bytes:
        if isinstance(notice, Gap):
            state.number, state.had, state.text, state.offset = 0, 0, "", notice.to.offset
        return msgspec.json.encode({"notice": type(notice).__name__})

    def said(self, state: Memory, entry: Entry) -> list[Said]:
        """What is said of one entry, or of several that are merged."""
        event = entry.event
        if isinstance(event, Delta):
            state.text += event.text
        parts = _parts(event, state.text)
        state.number += (entry.offset - state.offset) * len(parts)
        state.offset = entry.offset
        first = state.number - len(parts)
        said = [{"number": first + index, name: value} for index, (name, value) in enumerate(parts.items())]
        had, state.had = state.had, 0
        return said[had:]


class NumberedFrames(Numbered):
    """The same over WebSocket."""

    preamble = heartbeat = b""

    def encode(self, state: Memory, entries: Sequence[Entry], *, merge: bool) -> bytes:
        return b"".join(frame(TEXT, message) for message in self.messages(state, entries, merge=merge))

    def notice(self, state: Memory, notice: Notice) -> bytes:
        return frame(TEXT, self.message(state, notice))


class NumberSearch:
    """Finds the place behind the event of a number."""

    def __init__(self, dialect: Numbered, number: int) -> None:
        self._dialect = dialect
        self._number = number
        self._state = dialect.begin()
        self._after: Cursor | None = None

    def go_on(self, entries: Sequence[Entry]) -> Stand[Memory] | None:
        for entry in entries:
            before = self._dialect.fork(self._state)
            said = self._dialect.said(self._state, entry)
            if said[-1]["number"] > self._number:
                before.had = self._number + 1 - said[0]["number"]
                return Stand(self._after, before)
            self._after = entry.cursor
            if said[-1]["number"] == self._number:
                return Stand(self._after, self._state)
        return None


def _parts(event: Event, text: str) -> Said:
    if isinstance(event, Delta):
        return {"delta": event.text, "so_far": len(text)}
    return {"whole": text, "done": True} if isinstance(event, TERMINAL_TYPES) else {"opened": True}


def told(entries: Sequence[Entry]) -> list[Said]:
    """All that a reader from the start is told that was never slow."""
    return read(Numbered().encode(Memory(), entries, merge=False))


def read(body: bytes) -> list[Said]:
    """What a client is told by an event stream."""
    return [msgspec.json.decode(event.data) for event in sse.Decoder().feed(body)]


def read_frames(body: bytes) -> list[Said]:
    """The same by the frames of a socket."""
    found: list[Said] = []
    while body:
        head = read_head(body)
        assert head is not None
        found.append(msgspec.json.decode(body[head.size - head.payload : head.size]))
        body = body[head.size :]
    return found


def check_merged(said: list[Said], all_said: list[Said], *, after: int = -1) -> None:
    """It says the same as what follows the number `after`, some of its texts in one."""
    numbers = [each["number"] for each in said]
    assert numbers == sorted(set(numbers))
    assert all(number > after for number in numbers)
    assert text_of(said) == text_of(all_said[after + 1 :])
    assert all(each == all_said[each["number"]] for each in said if "delta" not in each)
    assert said[-1:] == all_said[after + 1 :][-1:]


def text_of(said: list[Said]) -> str:
    """The deltas together."""
    return "".join(each["delta"] for each in said if "delta" in each)
