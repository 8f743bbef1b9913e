"""Reads the body of a chat completion: an event stream, or the whole of it as JSON. Pure: bytes in, events out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import msgspec
from msgspec import UNSET

from tidegate.core import lenient_json
from tidegate.core.events import Completed, Content, Delta, Extra, Reasoning, Usage
from tidegate.core.json_shape import has_more_values
from tidegate.core.json_text import MAX_VALUES
from tidegate.core.lenient_json import as_list, as_object
from tidegate.core.sse import Decoder
from tidegate.core.steps import finished
from tidegate.errors import ProviderError, UpstreamAborted, UpstreamEmpty, UpstreamInterrupted, UpstreamMalformed
from tidegate.providers.openai.calls import Calls
from tidegate.providers.openai.chunk import SHOWN_BYTES, Chunk, Kind, is_chunk, read_chunk
from tidegate.providers.openai.errors import PLAIN_TEXT, is_error, says_something, words_of
from tidegate.providers.openai.finish import Ending, ending
from tidegate.providers.openai.lasting import Lasting
from tidegate.providers.openai.template import Template
from tidegate.providers.openai.usage import UsageCount

LASTING = frozenset({"content_filter_results"})
"""Fields of a choice that Azure repeats in every chunk. They are kept only where they change."""

MAX_HEAD_BYTES = 1024
"""How much of a body is kept that may turn out to be plain text in place of an event stream."""

FIELD = re.compile(r"^(?:data|event|id|retry)?:", re.MULTILINE)
"""Matches the beginning of a line of an event stream."""
MAX_EXTRA_BYTES = 4 * 1024 * 1024
"""The extra fields of one piece, which go to each reader at once; a picture has some megabytes."""

MAX_LINES = 1000
"""The lines of one event, each a chunk: some servers leave out the blank lines between events."""

JSON_BEGINS = (b"{", b"[")
DONE = b"[DONE]"


class ChunkReader:
    """Turns the body of one answer into events, under any chunking.

    `refused` makes the exception for an error in the body (decoded JSON, or text). `estimate` counts the prompt's
    tokens where the upstream does not. `settle` turns this part's usage into the whole answer's. `make_id` makes ids
    for tool calls. After `ended` all input is ignored; `error` is why there was no `Completed`.
    """

    def __init__(
        self,
        refused: Callable[[object], ProviderError],
        estimate: Callable[[], int],
        settle: Callable[[Usage], Usage] = lambda usage: usage,
        *,
        make_id: Callable[[], str],
    ) -> None:
        self._refused = refused
        self._estimate = estimate
        self._settle = settle
        self._decoder = Decoder()
        self._template = Template()
        self._calls = Calls(make_id)
        self._count = UsageCount()
        self._choice: int | None = None
        self._halves: dict[Kind, str] = {}
        self._lasting = Lasting()
        self._unsaid: dict[str, Any] = {}
        self._ignored: object = None
        self._head = b""
        self._pieces = 0
        self._begun = False
        self._reason: object = None
        self._ending: Ending | None = None
        self.error: ProviderError | None = None
        self.ended = False

    @property
    def pieces(self) -> int:
        """How many pieces of the answer have come."""
        return self._pieces + self._template.pieces

    @property
    def finishing(self) -> bool:
        """Whether the upstream has said why the answer ends; more may follow."""
        return self._ending is not None

    @property
    def counted(self) -> Usage | None:
        """The usage so far, where the upstream has counted it."""
        return self._usage() if self._count.known else None

    @property
    def deltas(self) -> Callable[[bytes], list[bytes] | None]:
        """The shortcut for the usual read, see `Template.deltas`. What it answers with None goes to `feed`."""
        return self._template.deltas

    def feed(self, data: bytes) -> list[Content | Completed]:
        """The events that this `data` of an event stream completes, in order; `[DONE]` brings `Completed`."""
        into: list[Content | Completed] = []
        if self.ended:
            return into
        try:
            if not self._begun:
                self._head = (self._head + data)[:MAX_HEAD_BYTES]
            for event in self._decoder.feed(data):
                self._block(event.data.encode(), event.event, into)
                if self.ended:
                    break
        except ProviderError as error:
            self._fail(error)
        said_all = self._ending is None and not self._count.known and not self._halves
        self._template.usable = said_all and not self.ended and self._decoder.at_block and self._template.known
        return into

    def end(self, *, broken: bool = False) -> list[Content | Completed]:
        """Ends the body, which may have `broken` off. Returns the last events, which may lack a blank line."""
        into: list[Content | Completed] = []
        if self.ended:
            return into
        try:
            for event in self._decoder.end():
                self._last_block(event.data.encode(), event.event, into)
            if not self.ended:
                self._conclude(into, broken=broken, done=False)
        except ProviderError as error:
            self._fail(error)
        return into

    def whole(self, body: bytes) -> list[Content | Completed]:
        """The events of a completion that was sent as a whole."""
        into: list[Content | Completed] = []
        try:
            for value in _values(body):
                self._value(value, "message", into)
            self._conclude(into, done=self._begun)
        except ProviderError as error:
            self._fail(error)
        return into

    # What comes in

    def _block(self, data: bytes, name: str, into: list[Content | Completed]) -> None:
        """Reads one event of the stream."""
        if name == "message" and not self._halves and (text := self._template.text_of(data)):
            into.append(Delta(text))
            self._pieces += 1
        elif data.startswith(DONE):
            self._conclude(into, done=True)
        elif data and not data.isspace():
            values = self._values_of(data, name)
            for value in values:
                self._value(value, name, into)
            if b"\n" in data and DONE in data.splitlines():
                self._conclude(into, done=True)
            elif len(values) == 1:
                self._learn(data, into)

    def _values_of(self, data: bytes, name: str) -> Sequence[object]:
        try:
            return list(_values(data))
        except UpstreamMalformed:
            if name == "error":
                raise self._refused(data.decode("utf-8", "replace")) from None
            # A server's own keep-alive, or its own end marker.
            if name != "message" or self.finishing:
                return ()
            raise

    def _last_block(self, data: bytes, name: str, into: list[Content | Completed]) -> None:
        """Reads the last event; if it lacks its blank line, it may have been cut anywhere."""
        try:
            self._block(data, name, into)
        except UpstreamMalformed:
            return

    def _value(self, value: object, name: str, into: list[Content | Completed]) -> None:
        for each in as_list(value):
            self._value(each, name, into)
        fields = as_object(value)
        if is_chunk(fields):
            chunk = read_chunk(fields, self._choice, first=not self._begun)
            self._take(chunk, into)
            if (error := next(filter(says_something, chunk.errors), None)) is not None:
                raise self._refused({"error": error})
        if name == "error" or is_error(fields):
            raise self._refused(value)
        if not is_chunk(fields) and self._ignored is None and words_of(value):
            self._ignored = value

    def _take(self, chunk: Chunk, into: list[Content | Completed]) -> None:
        self._choice = chunk.index if self._choice is None else self._choice
        for usage in chunk.usages:
            self._count.take(usage)
        pieces = [*self._texts(chunk), *self._calls.take(chunk.calls)]
        if (said := ending(chunk.finish)) is not None:
            self._finish(said, chunk.finish)
        said_more = bool(pieces or chunk.delta)
        self._begun = self._begun or said_more or self._ending is not None or self._count.known
        self._pieces += len(pieces)
        into.extend(self._beside(chunk, pieces))

    def _finish(self, said: Ending, reason: object) -> None:
        # Some servers finish with "stop" after tool calls.
        if not (self._ending == "tool_calls" and said == "stop"):
            self._ending, self._reason = said, reason

    def _texts(self, chunk: Chunk) -> Iterator[Content]:
        for kind, sent in chunk.texts:
            text, half = lenient_json.whole_characters(self._halves.pop(kind, "") + sent)
            if half:
                self._halves[kind] = half
            if text:
                yield _piece(kind, text)

    def _beside(self, chunk: Chunk, pieces: Sequence[Content]) -> Sequence[Content]:
        """The pieces, the first with the chunk's other fields; those of the whole answer wait for a piece."""
        news = self._news(chunk.chunk)
        said = [self._carrier()] if self._unsaid.keys() & news.keys() else []
        self._unsaid |= news
        choice = {**chunk.choice}
        for name in LASTING & choice.keys():
            if not self._news({name: choice[name]}):
                del choice[name]
        if not (choice or chunk.delta or (self._unsaid and pieces)):
            return [*said, *pieces]
        first, *more = pieces or [Delta("")]
        known = Extra() if first.extra is UNSET else first.extra
        extra = msgspec.structs.replace(known, chunk=_raw(self._unsaid), choice=_raw(choice), delta=_raw(chunk.delta))
        self._unsaid = {}
        return [*said, msgspec.structs.replace(first, extra=extra), *more]

    def _carrier(self) -> Delta:
        """An empty delta that carries the fields of the whole answer that have not been emitted yet."""
        carrier, self._unsaid = Delta("", Extra(chunk=_raw(self._unsaid))), {}
        return carrier

    def _news(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        news = self._lasting.news(fields)
        if news:
            self._template.forget()
        return news

    # The template for chunks that bring a text and nothing new

    def _learn(self, data: bytes, into: Sequence[Content | Completed]) -> None:
        if into and type(last := into[-1]) is Delta and last.extra is UNSET:
            self._template.learn(data, last.text, self._only_text)

    def _only_text(self, data: bytes) -> str | None:
        """The text of a chunk that brings nothing else; None for other chunks."""
        try:
            value = msgspec.json.decode(data, type=dict[str, Any])
            chunk = read_chunk(value, self._choice)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ProviderError):
            return None
        plain = chunk.is_plain and not is_error(value) and chunk.index is not None and not any(chunk.errors)
        known = self._lasting.holds(chunk.chunk)
        kind, text = chunk.texts[0] if plain and known else ("", None)
        return text if kind == "text" else None

    # The end

    def _conclude(self, into: list[Content | Completed], *, broken: bool = False, done: bool) -> None:
        self._check_end(broken=broken, done=done)
        self.ended = True
        into.extend(_piece(kind, "\ufffd") for kind in self._halves)
        into.extend(self._calls.end())
        if self._unsaid:
            into.append(self._carrier())
        into.append(Completed(cast("Any", self._ending or "stop"), self._usage()))

    def _check_end(self, *, broken: bool, done: bool) -> None:
        """Raises the error that the end amounts to, if it is one."""
        if self._ending == "failed":
            shown = lenient_json.mended(str(self._reason))[:64]
            raise UpstreamAborted(f"The upstream gave the answer up: its finish reason is {shown!r}.")
        if not self._begun and not broken:
            if said := self._ignored or self._plain_text() or (self._unsaid if words_of(self._unsaid) else None):
                raise self._refused(said)
            raise UpstreamEmpty("The upstream's answer was empty.")
        if self._ending is None and not done:
            raise UpstreamInterrupted("The upstream's answer broke off before its end.")

    def _plain_text(self) -> str | None:
        """The text of an answer that is no event stream at all; None if it is no plain text."""
        text = self._head.decode("utf-8", "replace").strip()
        return text if PLAIN_TEXT.fullmatch(text) and not FIELD.search(text) else None

    def _fail(self, error: ProviderError) -> None:
        self.error = error
        self.ended = True

    def _usage(self) -> Usage:
        return self._settle(self._count.usage(self.pieces, self._estimate))


def begins_as_json(body: bytes | bytearray) -> bool:
    """Whether a body begins as JSON, as no field of an event stream does."""
    return body.lstrip().removeprefix(b"\xef\xbb\xbf").lstrip().startswith(JSON_BEGINS)


def _values(data: bytes) -> Iterator[object]:
    """The JSON values of one event: one per line, where a server has left out the blank lines between events."""
    if finished(has_more_values(data, MAX_VALUES)):
        raise UpstreamMalformed(f"The upstream sent a chunk of more than {MAX_VALUES} values.", field="data")
    try:
        yield lenient_json.loads(data)
    except (ValueError, RecursionError):
        lines = [line for line in data.splitlines() if line.strip()]
        if not 2 <= len(lines) <= MAX_LINES:
            raise _not_json(data) from None
        yield from (value for line in lines if not line.startswith(DONE) for value in _values(line))


def _not_json(data: bytes) -> UpstreamMalformed:
    return UpstreamMalformed("The upstream sent a chunk that is not JSON.", field="data", value=data[:SHOWN_BYTES])


def _piece(kind: Kind, text: str) -> Content:
    if kind == "reasoning":
        return Reasoning(text)
    return Delta(text, Extra(refusal=True)) if kind == "refusal" else Delta(text)


def _raw(fields: Mapping[str, Any]) -> Any:
    if not fields:
        return UNSET
    said = lenient_json.dumps(fields)
    if len(said) > MAX_EXTRA_BYTES:
        raise UpstreamMalformed(f"The upstream said more than {MAX_EXTRA_BYTES} bytes beside a piece of its answer.")
    return msgspec.Raw(said)
