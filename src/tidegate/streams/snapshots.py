"""A whole stream as JSON in pieces: however long it is, one page of its log is read at a time."""

from __future__ import annotations

import asyncio
from array import array
from asyncio import Future
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing

import msgspec

from tidegate.core.cursor import Cursor
from tidegate.core.events import TERMINAL_TYPES, Delta, Event, Reasoning, Terminal, ToolCall, plain_text, text_of
from tidegate.core.fold import Snapshot, Summary
from tidegate.core.log import Entry
from tidegate.core.notices import Gap
from tidegate.errors import StreamNotFound
from tidegate.stores.base import Store
from tidegate.stores.records import Look, StreamRecord
from tidegate.streams.history import fold

PAGE_ENTRIES = 512
PAGE_BYTES = 65536
"""The size of a page: some 60 microseconds of the loop, and as much as may wait in a connection."""

PIECE_CHARACTERS = 65536
"""How much of one long text is encoded at a time, for the same reason."""


Summarise = Callable[[StreamRecord, Terminal | None, Cursor], Summary]
"""Makes the summary of a record at a cursor, with the end that has been read."""


class WholeStream:
    """A stream as it is at one moment: its `summary`, and then the content of its log up to that moment.

    A reader that has it continues after `rest`, so that the stream's end is still sent. `question` is the text of the
    user's last message, if there is one. The log is read again for each field: the text, the reasoning, and then each
    tool call.
    """

    def __init__(self, store: Store, until: int, summary: Summary, rest: Cursor, question: msgspec.Raw | None) -> None:
        self.summary = summary
        self.rest = rest
        self._store = store
        self._stream = summary.id
        self._until = until
        self._question = question
        self._thinks = False
        self._calls: dict[int, array[int]] = {}

    async def pieces(self, head: Mapping[str, object] | None = None) -> AsyncGenerator[bytes]:
        """The JSON of a `Snapshot` in pieces; `head` replaces the fields of its summary.

        Raises `StreamNotFound` where the stream is forgotten meanwhile.
        """
        yield msgspec.json.encode(self.summary if head is None else head)[:-1]
        question = b"null" if self._question is None else bytes(self._question)
        for start in range(0, len(question), PAGE_BYTES):
            yield (b"" if start else b',"question":') + question[start : start + PAGE_BYTES]
        yield b',"text":"'
        async for page in self._pages(Cursor("", 0), self._until):
            for piece in _joined(self._text(entry) for entry in page):
                yield piece
        yield b'","reasoning":"'
        if self._thinks:
            async for page in self._pages(Cursor("", 0), self._until):
                for piece in _texts(event for entry in page if isinstance(event := entry.event, Reasoning)):
                    yield piece
        yield b'","tool_calls":['
        for n, index in enumerate(sorted(self._calls)):
            async for piece in self._call(index, first=n == 0):
                yield piece
        yield b"]}"

    def _text(self, entry: Entry) -> bytes:
        """An entry's text, as the inside of a JSON string; notes where reasoning and tool calls are, for later."""
        if (text := plain_text(entry.json)) is not None:
            return text[1:-1]
        if isinstance(event := entry.event, ToolCall):
            self._calls.setdefault(event.index, array("I")).append(entry.offset)
        elif isinstance(event, Reasoning):
            self._thinks = True
        return _inner(event.text) if isinstance(event, Delta) else b""

    async def _call(self, index: int, *, first: bool) -> AsyncGenerator[bytes]:
        id = name = None
        async with aclosing(self._fragments(index)) as fragments:
            async for event in fragments:
                id, name = id or event.id or None, name or event.name or None
                if id and name:
                    break
        head = msgspec.json.encode({"index": index, "id": id, "name": name})
        yield (b"" if first else b",") + head[:-1] + b',"arguments":"'
        async for event in self._fragments(index):
            for piece in _texts((event,)):
                yield piece
        yield b'"}'

    async def _fragments(self, index: int) -> AsyncGenerator[ToolCall]:
        for first, last in _runs(self._calls[index]):
            after = await self._store.position(self._stream, first - 1)
            async for page in self._pages(after, last):
                for entry in page:
                    if isinstance(event := entry.event, ToolCall):
                        yield event

    async def _pages(self, after: Cursor, until: int) -> AsyncGenerator[Sequence[Entry]]:
        at = after if after.offset else None
        offset = after.offset
        while offset < until:
            limit = min(PAGE_ENTRIES, until - offset)
            answer = self._store.read(self._stream, at, limit=limit, max_bytes=PAGE_BYTES)
            found = await answer if isinstance(answer, Future) else answer
            if isinstance(found, Gap) or not found.entries:
                raise StreamNotFound(f"there is no stream {self._stream[:64]!r}")
            at, offset = found.after, found.after.offset
            yield found.entries
            await asyncio.sleep(0)


async def whole_of(store: Store, found: Look, summarise: Summarise) -> WholeStream:
    """The stream as it was when `found` was looked up."""
    record, tail = found.record, found.tail
    question = None if record.request is None else record.request.question_json
    rest = tail if record.end is None else await store.position(record.id, tail.offset - 1)
    return WholeStream(store, tail.offset, summarise(record, record.end, tail), rest, question)


async def snapshot_of(store: Store, stream: str, summarise: Summarise, most: int | None) -> tuple[Snapshot, Cursor]:
    """A snapshot in memory, and its `rest`; that of the stream's beginning if the log has more than `most` bytes."""
    folded = await fold(store, stream, most=most)
    last = folded.last
    assert last is not None, "a stream begins with `started`"
    end = event if isinstance(event := last.event, TERMINAL_TYPES) else None
    record = (await store.look(stream)).record
    question = None if record.request is None else record.request.question_json
    snapshot = Snapshot(
        **msgspec.structs.asdict(summarise(record, end, last.cursor)),
        question=None if most is not None and len(bytes(question or b"")) > most else question,
        text=folded.text,
        reasoning=folded.reasoning,
        tool_calls=folded.tool_calls,
    )
    return snapshot, folded.rest


def _runs(offsets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The first and the last offset of each run of consecutive offsets."""
    first = last = offsets[0]
    for offset in offsets[1:]:
        if offset != last + 1:
            yield first, last
            first = offset
        last = offset
    yield first, last


def _joined(texts: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are neither many nor long."""
    short: list[bytes] = []
    for text in texts:
        if len(text) <= PAGE_BYTES:
            short.append(text)
            continue
        yield b"".join(short)
        short.clear()
        for start in range(0, len(text), PAGE_BYTES):
            yield text[start : start + PAGE_BYTES]
    yield b"".join(short)


def _texts(events: Iterable[Event]) -> Iterator[bytes]:
    """The events' texts as the inside of one JSON string."""
    short: list[str] = []
    for text in map(text_of, events):
        if len(text) <= PIECE_CHARACTERS:
            short.append(text)
            continue
        yield _inner("".join(short))
        short.clear()
        yield from _cut(text)
    yield _inner("".join(short))


def _cut(text: str) -> Iterator[bytes]:
    for start in range(0, len(text), PIECE_CHARACTERS):
        yield _inner(text[start : start + PIECE_CHARACTERS])


def _inner(text: str) -> bytes:
    return msgspec.json.encode(text)[1:-1]
