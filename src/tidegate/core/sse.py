"""Server-sent events: an encoder and an incremental decoder, after the WHATWG HTML standard, section 9.2.

Both are pure: bytes in, bytes or events out.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tidegate.errors import UpstreamMalformed

# Some servers put a whole answer into one event, so the limit is that of a whole answer
# (`limits.max_generation_bytes`); without one, a line that never ends would fill the memory.
MAX_EVENT_BYTES = 16 * 1024 * 1024

# In milliseconds that is 31,000 years; a longer number is a mistake, and int() is slow on very long ones.
MAX_RETRY_DIGITS = 15

EVENT_STREAM = (b"content-type", b"text/event-stream")

RESPONSE_HEADERS = [
    EVENT_STREAM,
    # `no-transform` and `x-accel-buffering` keep proxies from compressing, and so buffering, on their own.
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]

_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(msgspec.Struct, frozen=True, gc=False):
    """One event as a reader gets it. `id` is the last event id, which its own block has set if `own_id`; `retry_ms` is
    what its own block asked for."""

    event: str
    data: str
    id: str
    retry_ms: int | None = None
    own_id: bool = False


def encode(data: bytes, *, event: str | None = None, id: str | None = None, retry_ms: int | None = None) -> bytes:
    """One event as one block. `data` is UTF-8; every line of it gets a field of its own.

    Raises `ValueError` where `event` or `id` has a line break, `id` a NUL, or `retry_ms` is negative.
    """
    head = b""
    if id is not None:
        if "\0" in id:
            raise ValueError("an event id cannot hold NUL")
        head = _line("id", id)
    if event is not None:
        head += _line("event", event)
    if retry_ms is not None:
        if retry_ms < 0:
            raise ValueError("retry_ms cannot be negative")
        head += b"retry: %d\n" % retry_ms
    return head + _block(b"data: ", data)


def escaped(blocks: bytes) -> bytes:
    """Whole blocks whose data is JSON, with Unicode's line ends (U+2028, U+2029, U+0085) written as escapes.

    The standard splits at CR and LF alone, but many readers split at these, too, as Python's `str.splitlines` does.
    They occur only within JSON strings, where an escape means the same (RFC 8259, 7).
    """
    # Nearly always there is nothing to replace, and `find` is the fastest way to know.
    if blocks.isascii() or (blocks.find(b"\xe2\x80") < 0 and blocks.find(b"\xc2\x85") < 0):
        return blocks
    blocks = blocks.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return blocks.replace(b"\xc2\x85", b"\\u0085")


def comment(text: str = "") -> bytes:
    """A comment, `: text`: readers ignore it, but proxies see that the connection is alive."""
    return _block(b": ", text.encode()) if text else b":\n\n"


def _line(field: str, value: str) -> bytes:
    if "\n" in value or "\r" in value:
        raise ValueError(f"the {field} of an event cannot hold a line break")
    return f"{field}: {value}\n".encode()


def _block(prefix: bytes, text: bytes) -> bytes:
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\n" in text:
        text = text.replace(b"\n", b"\n" + prefix)
    return prefix + text + b"\n\n"


class Decoder:
    """Turns the bytes of an event stream into events, however they are cut into chunks.

    A reader that reconnects has to wait `retry_ms` and to send `last_event_id`. An unfinished block at the end of the
    stream is no event, unless `end` is called. Malformed UTF-8 becomes U+FFFD, as the standard says. `at_block`:
    whether the bytes so far end with a blank line, so that the next one begins a block. `on_comment` is given the text
    of each comment: tidegate's first one says the heartbeat.
    """

    __slots__ = (
        "_after_cr",
        "_begun",
        "_block_retry_ms",
        "_data",
        "_event",
        "_id",
        "_max_event_bytes",
        "_on_comment",
        "_own_id",
        "_rest",
        "_size",
        "at_block",
        "last_event_id",
        "retry_ms",
    )

    def __init__(
        self, *, max_event_bytes: int = MAX_EVENT_BYTES, on_comment: Callable[[str], None] | None = None
    ) -> None:
        self.last_event_id = ""
        self.retry_ms: int | None = None
        self._max_event_bytes = max_event_bytes
        self._on_comment = on_comment
        self._begun = False
        self.at_block = False
        self._after_cr = False
        self._rest = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._id = ""
        self._own_id = False
        self._block_retry_ms: int | None = None

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that end in this chunk.

        Raises `UpstreamMalformed` past `max_event_bytes` in one line or event; the stream is lost then.
        """
        events: list[ServerSentEvent] = []
        lines = self._lines(chunk)
        for line in lines:
            if not line:
                if self._data:
                    events.append(self._dispatch())
                self._reset()
            elif line.startswith(b"data: "):
                self._keep(line, line[6:])
            else:
                self._field(line)
        self.at_block = bool(lines) and not lines[-1] and not self._rest and not self._after_cr
        return events

    def end(self) -> list[ServerSentEvent]:
        """The event whose blank line, or whose last line's end, was missing at the end of the stream, if any."""
        return self.feed(b"\n\n") if self._rest or self._data else []

    def _lines(self, chunk: bytes) -> list[bytes]:
        """The lines that end in this chunk, without their line ends. The rest waits for the next chunk."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if b"\r" in chunk:
            # A CR ends its line at once; should the next chunk begin with the LF of the pair, it is dropped.
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines:
            if self._rest:
                lines[0] = bytes(self._rest) + lines[0]
                self._rest.clear()
            if not self._begun:
                self._begun = True
                lines[0] = lines[0].removeprefix(_BOM)
        if rest:
            self._rest += rest
            if len(self._rest) > self._max_event_bytes:
                raise self._too_long()
        return lines

    def _keep(self, line: bytes, value: bytes) -> None:
        self._size += len(line)
        if self._size > self._max_event_bytes:
            raise self._too_long()
        self._data.append(value)

    def _field(self, line: bytes) -> None:
        if len(line) > self._max_event_bytes:
            raise self._too_long()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._keep(line, value)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
            self._own_id = True
        elif name == b"retry" and value.isdigit() and len(value) <= MAX_RETRY_DIGITS:
            self.retry_ms = self._block_retry_ms = int(value)
        elif not name and self._on_comment is not None:
            self._on_comment(value.decode("utf-8", "replace"))

    def _dispatch(self) -> ServerSentEvent:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        return ServerSentEvent(
            self._event or "message", data.decode("utf-8", "replace"), self._id, self._block_retry_ms, self._own_id
        )

    def _reset(self) -> None:
        # The id takes effect at the end of its block, with or without data, and outlives it.
        self.last_event_id = self._id
        self._data = []
        self._size = 0
        self._event = ""
        self._own_id = False
        self._block_retry_ms = None

    def _too_long(self) -> UpstreamMalformed:
        return UpstreamMalformed(f"the event stream has an event of more than {self._max_event_bytes} bytes")
