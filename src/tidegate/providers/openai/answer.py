"""Relays one answer from an upstream's connection into a sink."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import time

from tidegate.core.events import Completed, Content
from tidegate.core.pause import READ_SECONDS, was_paused
from tidegate.core.sse import MAX_EVENT_BYTES
from tidegate.errors import ProviderError, UpstreamInterrupted, UpstreamMalformed, UpstreamTimeout
from tidegate.http_client.connection import ClientConnection, ResponseHead
from tidegate.http_client.errors import HttpError
from tidegate.providers.base import Sink
from tidegate.providers.openai.chunks import ChunkReader, begins_as_json
from tidegate.providers.openai.errors import refusal
from tidegate.providers.upstream import upstream_error

MAX_ERROR_BYTES = 65_536
"""The most of a refusal's body that is read; OpenAI's have less than 1 KiB."""

ERROR_SECONDS = 5.0
"""How long a refusal's body may take; after that the status, and what has come, must do."""

USAGE_SECONDS = 10.0
"""How long to wait for usage, in a chunk after the finish reason: some gateways send it seconds later. A server that
stays silent for longer, or for `stall_timeout`, sends none."""

MAX_IDLE_BYTES = MAX_EVENT_BYTES + 1024 * 1024
"""How much may come without a token: one event of the largest size, and comments. One a second has 1 MiB in a day."""

MAX_BLANK_BYTES = 65_536
"""The most white space before a body; some servers send blank lines to keep the connection alive."""


class UpstreamAnswer:
    """Fills the sink from a response, as the connection's `Receiver`; `relay` waits for the end.

    All of a read's events go to the sink in one `emit`, from within the read. The timer is lazy: a token only moves the
    deadline. Any error here ends the answer.
    """

    __slots__ = (
        "_body",
        "_chunks",
        "_connection",
        "_deadline",
        "_deltas",
        "_done",
        "_emitted",
        "_error",
        "_excused",
        "_idle_bytes",
        "_is_whole",
        "_loop",
        "_news",
        "_patience_ends",
        "_refused",
        "_secrets",
        "_sink",
        "_stall_timeout",
        "_streaming",
        "_timer",
        "_usage_timeout",
    )

    def __init__(
        self,
        connection: ClientConnection,
        sink: Sink,
        chunks: ChunkReader,
        *,
        first_token_timeout: float,
        stall_timeout: float,
        secrets: Sequence[str],
    ) -> None:
        self._connection = connection
        self._sink = sink
        self._chunks = chunks
        self._deltas = chunks.deltas
        self._stall_timeout = stall_timeout
        self._usage_timeout = min(USAGE_SECONDS, stall_timeout)
        self._secrets = secrets
        self._refused: ResponseHead | None = None
        # The body of a refusal, or of a completion sent as a whole; or what may be the beginning of one.
        self._body = bytearray()
        self._is_whole: bool | None = None
        self._streaming = False
        self._patience_ends: float | None = None
        self._emitted = False
        self._done = False
        self._error: Exception | None = None
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._deadline = 0.0
        self._excused = 0.0
        self._idle_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._set_timer(first_token_timeout)

    @property
    def begun(self) -> bool:
        """Whether any of the answer has been emitted, or counted as usage."""
        return self._emitted or self._chunks.counted is not None

    async def relay(self) -> None:
        """Returns when the answer is in the sink, up to its `Completed`. Raises `ProviderError`."""
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                if self._error is not None:
                    raise self._error
                if self._done:
                    return
                await self._wait_for_room()
        finally:
            self._stop_timer()

    async def _wait_for_room(self) -> None:
        # The store is slow now, not the upstream, so the upstream's time does not run.
        self._stop_timer()
        await self._sink.room()
        self._set_timer(self._usage_timeout if self._chunks.finishing else self._stall_timeout)
        self._connection.resume()

    # The connection's receiver.

    def answered(self, head: ResponseHead) -> None:
        if not 200 <= head.status < 300:
            if 300 <= head.status < 400:
                raise UpstreamMalformed(f"The upstream answered with a redirect ({head.status}): check base_url.")
            self._refused = head
            self._set_timer(ERROR_SECONDS)
            return
        if is_event_stream(head):
            self._sink.opened()

    def receive(self, data: bytes) -> None:
        if self._done:
            return
        if self._streaming and (deltas := self._deltas(data)) is not None:
            self._idle_bytes = 0
            self._deadline = self._loop.time() + self._stall_timeout
            self._sink.emit_deltas(deltas)
            if self._sink.full:
                self._pause()
        elif self._refused is not None:
            self._collect(data, MAX_ERROR_BYTES)
        elif self._is_whole is False:
            self._feed(data)
        else:
            self._begin(data)

    def closed(self, error: Exception | None) -> None:
        self._try(lambda: self._close(upstream_error(error) if isinstance(error, HttpError) else error))

    def _close(self, error: Exception | None) -> None:
        if self._refused is not None:
            self._finish(self._refusal(self._refused))
        elif error is not None and not isinstance(error, UpstreamInterrupted):
            self._finish(error)
        elif self._is_whole:
            if error is not None:
                self._finish(error)
            else:
                self._conclude(self._chunks.whole(bytes(self._body)))
        else:
            if self._is_whole is None and self._body:
                self._emit(self._chunks.feed(bytes(self._body)))
            ending = self._chunks.end(broken=error is not None)
            # The connection's own error says more.
            lost = error if isinstance(self._chunks.error, UpstreamInterrupted) else None
            self._conclude(ending, lost)

    # What comes in

    def _begin(self, data: bytes) -> None:
        """Finds out from the first bytes what the body is: many servers declare one type and send another."""
        self._body += data
        if self._is_whole is None:
            if self._body.isspace():
                self._check_blank()
                return
            self._is_whole = begins_as_json(self._body)
            if self._body.lstrip().startswith(b"<"):
                raise UpstreamMalformed("The upstream answered with a page: check base_url.")
        if self._is_whole:
            self._collect(b"", MAX_EVENT_BYTES)
            self._postpone(self._stall_timeout)
        else:
            self._sink.opened()
            body, self._body = bytes(self._body), bytearray()
            self._feed(body)

    def _check_blank(self) -> None:
        if len(self._body) > MAX_BLANK_BYTES:
            raise UpstreamMalformed(f"The upstream's answer begins with more than {MAX_BLANK_BYTES} blanks.")

    def _feed(self, data: bytes) -> None:
        before = self._chunks.pieces
        self._emit(self._chunks.feed(data))
        if self._chunks.ended:
            self._finish(self._chunks.error)
            return
        # Chunks without a piece are no tokens: a model that only reports that it is busy has stalled.
        told = self._chunks.pieces > before
        self._idle_bytes = 0 if told else self._idle_bytes + len(data)
        if self._idle_bytes > MAX_IDLE_BYTES:
            raise UpstreamMalformed(f"The upstream sent {MAX_IDLE_BYTES} bytes without a token.")
        if self._chunks.finishing:
            self._wait_for_usage(anew=told)
        elif told:
            self._postpone(self._stall_timeout)
        if self._sink.full:
            self._pause()

    def _pause(self) -> None:
        self._connection.pause()
        self._news.set()

    def _collect(self, data: bytes, limit: int) -> None:
        self._body += data
        if len(self._body) > limit:
            error = UpstreamMalformed(f"The upstream sent a whole answer of more than {limit} bytes.")
            self._finish(error if self._refused is None else self._refusal(self._refused))

    def _emit(self, events: Sequence[Content | Completed]) -> None:
        if (counted := self._chunks.counted) is not None:
            self._sink.counted(counted)
        if events:
            self._emitted = True
            self._sink.emit(events)

    # What ends the answer

    def _wait_for_usage(self, *, anew: bool) -> None:
        """Waits for the usage while the connection is not silent, but only for a limited time without new pieces."""
        now = self._loop.time()
        if anew or self._patience_ends is None:
            self._patience_ends = now + max(self._stall_timeout, self._usage_timeout)
        self._set_timer(min(self._usage_timeout, self._patience_ends - now))

    def _postpone(self, seconds: float) -> None:
        """A token has come. Only the first sets the timer, since it may bring the deadline forward."""
        if self._streaming:
            self._deadline = self._loop.time() + seconds
        else:
            self._streaming = True
            self._set_timer(seconds)

    def _set_timer(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._deadline = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._deadline, self._on_timer)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _on_timer(self) -> None:
        now = self._loop.time()
        if now < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)
        elif was_paused(self._deadline, now) and self._deadline != self._excused:
            # Only once: a loop that is always busy is no excuse.
            self._set_timer(READ_SECONDS)
            self._excused = self._deadline
        else:
            self._try(self._give_up)

    def _give_up(self) -> None:
        if self._refused is not None:
            self._finish(self._refusal(self._refused))
        elif self._chunks.finishing:
            self._conclude(self._chunks.end())
        else:
            late = "stopped sending tokens" if self._streaming else "not sent its first token in time"
            self._finish(UpstreamTimeout(f"The upstream has {late}."))

    def _conclude(self, events: Sequence[Content | Completed], error: Exception | None = None) -> None:
        self._emit(events)
        self._finish(error or self._chunks.error)

    def _try(self, act: Callable[[], None]) -> None:
        """Runs a callback of the loop, where nobody catches exceptions: an error ends the answer."""
        if self._done:
            return
        try:
            act()
        except Exception as error:
            self._finish(error)

    def _finish(self, error: Exception | None) -> None:
        self._done = True
        self._error = error
        self._news.set()

    def _refusal(self, head: ResponseHead) -> ProviderError:
        return refusal(head.status, bytes(self._body), head.headers, self._secrets, now=time())


def is_event_stream(head: ResponseHead) -> bool:
    """Whether a 2xx head declares an event stream. If not, the body decides: many servers declare HTML or JSON.

    Raises `UpstreamMalformed` for a coding that cannot be read.
    """
    for name, plain in (("content-encoding", "identity"), ("transfer-encoding", "chunked")):
        if head.headers.get(name, plain).strip().lower() != plain:
            raise UpstreamMalformed(f"The upstream's answer has a {name} that was not asked for.")
    return head.headers.get("content-type", "").partition(";")[0].strip().lower() == "text/event-stream"
