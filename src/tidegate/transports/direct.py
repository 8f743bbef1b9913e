"""A stream's events written from the wake-up of the log, without a task switch: the hot path."""

from __future__ import annotations

import asyncio

from tidegate.core.notices import Gap, Reconnect
from tidegate.transports.compression import Gzip
from tidegate.transports.source import Encoder, Source
from tidegate.transports.wire import Chunk, Wire

_chunk = Chunk()


class Delivery:
    """Pumps one reader into one connection; `over` is done when the reader is at its end, or its client is gone.

    A pump writes once for all that one read brings. A connection that is `full` is left alone until it has
    drained; what it has missed is then read from the log, merged.
    """

    def __init__(
        self,
        wire: Wire,
        source: Source,
        encoder: Encoder,
        gzip: Gzip | None,
        *,
        limit: int,
        heartbeat_seconds: float,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        self._wire = wire
        self._source = source
        self._encoder = encoder
        self._gzip = gzip
        self._heartbeat_seconds = heartbeat_seconds
        self._last_write = self._loop.time()
        self._heartbeat = self._loop.call_later(heartbeat_seconds, self._beat)
        self._later: asyncio.Handle | None = None
        source.on_news(self._pump)
        wire.attach(limit, self._pump)

    def begin(self, body: bytes) -> None:
        """Writes the first bytes, and whatever the log has already."""
        self._write(body)
        self._pump()

    def stop(self) -> None:
        """Lets go of the connection and of the timers."""
        self._wire.detach()
        self._heartbeat.cancel()
        self._put_off()

    def _pump(self) -> None:
        if self.over.done():
            return
        if self._wire.gone or self._source.left.is_set():
            self.over.set_result(None)
        elif self._wire.full:
            self._source.behind = True
        else:
            self._take()

    def _take(self) -> None:
        try:
            found = self._source.take(self._loop.time())
        except Exception as error:
            self.over.set_exception(error)
            return
        self._put_off()
        if found is None:
            if (due := self._source.deadline()) != float("inf"):
                self._later = self._loop.call_at(due, self._pump)
            return
        if isinstance(found, Gap | Reconnect):
            self._write(self._encoder.notice(found))
        else:
            self._write(self._encoder.entries(found), live=not self._source.more)
        if self._source.at_end or isinstance(found, Reconnect):
            self.over.set_result(None)
        elif self._source.more:
            # The rest of a long log takes its turn with everybody else's.
            self._later = self._loop.call_soon(self._pump)

    def _write(self, body: bytes, *, live: bool = False) -> None:
        if body:
            self._last_write = self._loop.time()
            self._wire.write(_chunk.frame(body if self._gzip is None else self._gzip.write(body, live=live)))

    def _beat(self) -> None:
        silence = self._loop.time() - self._last_write
        if silence >= self._heartbeat_seconds and not self._wire.full:
            self._write(self._encoder.heartbeat)
            silence = 0.0
        self._heartbeat = self._loop.call_later(max(self._heartbeat_seconds - silence, 0.001), self._beat)

    def _put_off(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
