"""One answer on its way from an upstream's connection into a sink."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tidegate.errors import ProviderError, UpstreamInterrupted, UpstreamMalformed, UpstreamTimeout
from tidegate.providers.base import Sink
from tidegate.providers.openai_chunks import ChunkReader
from tidegate.providers.openai_errors import refusal
from tidegate.providers.upstream_connection import Head, UpstreamConnection

MAX_ERROR_BYTES = 65_536
"""Of a refusal's body; OpenAI's have less than 1 KiB."""

ERROR_SECONDS = 5.0
"""For a refusal's body: what has come by then must do, the status says most of it."""

USAGE_SECONDS = 1.0
"""Usage comes in a chunk after the finish reason; a server that sends none and stays silent is not waited for."""


class Answer:
    """Takes a response (it is the connection's `Receiver`) and fills the sink; `relay` waits for the end of it.

    All of a read's events go to the sink in one `emit`, from within the read. The timer is lazy: a token only
    moves the deadline.
    """

    def __init__(
        self,
        connection: UpstreamConnection,
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
        self._stall_timeout = stall_timeout
        self._secrets = secrets
        self._refused: Head | None = None
        self._error_body = bytearray()
        self._streaming = False
        self._finishing = False
        self._done = False
        self._error: Exception | None = None
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._set_timer(first_token_timeout)

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
        # It is the reader that is slow now, not the upstream: its clock stands still.
        self._stop_timer()
        await self._sink.room()
        self._set_timer(USAGE_SECONDS if self._finishing else self._stall_timeout)
        self._connection.resume()

    # The connection's receiver.

    def answered(self, head: Head) -> None:
        if not 200 <= head.status < 300:
            if 300 <= head.status < 400:
                raise UpstreamMalformed(f"The upstream answered with a redirect ({head.status}): check base_url.")
            self._refused = head
            self._set_timer(ERROR_SECONDS)
            return
        check(head)
        self._sink.opened()

    def receive(self, data: bytes) -> None:
        if self._done:
            return
        if self._refused is not None:
            self._error_body += data
            if len(self._error_body) > MAX_ERROR_BYTES:
                self._finish(self._refusal(self._refused))
            return
        events = self._chunks.feed(data)
        if events:
            self._sink.emit(events)
            self._postpone()
        if self._chunks.error is not None or self._chunks.ended:
            self._finish(self._chunks.error)
            return
        if self._chunks.finish_reason is not None and not self._finishing:
            self._finishing = True
            self._set_timer(USAGE_SECONDS)
        if self._sink.full:
            self._connection.pause()
            self._news.set()

    def closed(self, error: Exception | None) -> None:
        if self._done:
            return
        if self._refused is not None:
            self._finish(self._refusal(self._refused))
        elif error is None or (self._chunks.finish_reason is not None and isinstance(error, UpstreamInterrupted)):
            self._complete()
        else:
            self._finish(error)

    # What ends it.

    def _set_timer(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._deadline = self._loop.time() + seconds
        self._timer = self._loop.call_at(self._deadline, self._on_timer)

    def _postpone(self) -> None:
        """A token has come. Only the first sets the timer, since it may bring the deadline forward."""
        if self._finishing:
            return
        if self._streaming:
            self._deadline = self._loop.time() + self._stall_timeout
        else:
            self._streaming = True
            self._set_timer(self._stall_timeout)

    def _on_timer(self) -> None:
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)
        elif self._refused is not None:
            self._finish(self._refusal(self._refused))
        elif self._finishing:
            self._complete()
        else:
            late = "stopped sending tokens" if self._streaming else "not sent its first token in time"
            self._finish(UpstreamTimeout(f"The upstream has {late}."))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _complete(self) -> None:
        try:
            self._sink.emit([self._chunks.end()])
        except Exception as error:
            self._finish(error)
        else:
            self._finish(None)

    def _finish(self, error: Exception | None) -> None:
        self._done = True
        self._error = error
        self._news.set()

    def _refusal(self, head: Head) -> ProviderError:
        return refusal(head.status, bytes(self._error_body), head.headers, self._secrets)


def check(head: Head) -> None:
    """Raises `UpstreamMalformed` unless the body is an event stream in plain bytes."""
    # Some servers leave the type out; what they send shows soon enough.
    content_type = head.headers.get("content-type", "text/event-stream").partition(";")[0].strip().lower()
    if content_type != "text/event-stream":
        shown = content_type[:64]
        raise UpstreamMalformed(f"The upstream answered {head.status} with {shown!r} instead of an event stream.")
    for name, plain in (("content-encoding", "identity"), ("transfer-encoding", "chunked")):
        if head.headers.get(name, plain).strip().lower() != plain:
            raise UpstreamMalformed(f"The upstream's answer has a {name} that was not asked for.")
