"""Reads one event stream as it comes, compressed or not."""

from __future__ import annotations

import zlib
from collections.abc import Callable

from tidegate.client.doctor.answer import Answer
from tidegate.client.doctor.hearing import Hearing
from tidegate.client.doctor.trouble import SentAway
from tidegate.client.session import TERMINAL_EVENTS
from tidegate.client.words import as_table, parsed
from tidegate.core.sse import Decoder, ServerSentEvent
from tidegate.http_client.connection import ResponseHead
from tidegate.http_client.errors import TooLarge

GZIP = "gzip"


class EventReader:
    """A `Receiver` of events; an answer that has none is kept as `refused`. It reads `most` bytes, decompressed.

    `away` says why the server has sent it away, where `hearing.sent_away`.
    """

    def __init__(self, clock: Callable[[], float], *, most: int) -> None:
        self.hearing = Hearing(clock)
        self.head: ResponseHead | None = None
        self.kinds: list[str] = []
        self.has_ended = False
        self.away = SentAway()
        self._most = most
        self._decoder = Decoder()
        self._inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        self._body = b""
        self._size = 0

    @property
    def encoding(self) -> str:
        """The answer's content-encoding; empty where it has none."""
        return "" if self.head is None else self.head.headers.get("content-encoding", "").strip().lower()

    @property
    def refused(self) -> Answer | None:
        """The answer, as much of it as has come, if it is no event stream."""
        if self.head is None or self._is_events():
            return None
        return Answer(self.head.status, self.head.headers, self._body)

    def answered(self, head: ResponseHead) -> None:
        self.head = head
        self.hearing.came()

    def receive(self, data: bytes) -> None:
        plain = self._inflate.decompress(data, self._most) if self.encoding == GZIP else data
        self._size += len(plain)
        if self._size > self._most:
            raise TooLarge(f"answers with more than {self._most} bytes")
        if self._is_events():
            for event in self._decoder.feed(plain):
                self._take(event)
        else:
            self._body += plain
        self.hearing.came()

    def closed(self, error: Exception | None) -> None:
        self.hearing.end()

    def _is_events(self) -> bool:
        assert self.head is not None
        kind = self.head.headers.get("content-type", "").partition(";")[0].strip().lower()
        return self.head.status == 200 and kind == "text/event-stream"

    def _take(self, event: ServerSentEvent) -> None:
        self.kinds.append(event.event)
        if event.event == "delta":
            self.hearing.text += str(as_table(parsed(event.data)).get("text", ""))
        self.has_ended |= event.event in TERMINAL_EVENTS
        if event.event == "reconnect":
            told = as_table(parsed(event.data))
            self.away = SentAway(told.get("reason"), told.get("after_ms"))
        self.hearing.sent_away |= self.has_ended or event.event == "reconnect"
