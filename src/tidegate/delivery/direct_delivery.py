"""Writes a stream's events from within the callback of the append, without a task switch: the hot path."""

from __future__ import annotations

import asyncio
from typing import Any

from tidegate.core.notices import Notice, Reconnect
from tidegate.delivery.broadcast import Broadcast
from tidegate.delivery.compression import Gzip
from tidegate.delivery.reader_port import ReaderPort
from tidegate.dialects.base import Dialect
from tidegate.observe.metrics.deliveries import Deliveries
from tidegate.serving.wire import Outlet

STALLED_BEATS = 4
"""How many heartbeats in a row a full connection may miss before it is aborted: a minute by default. Its client would
count as a reader for ever; it loses nothing, since it can return to its cursor."""


class Delivery:
    """Pumps one reader into one connection; `over` is done when the reader is at its end, or the client is gone.

    Each pump takes from the reader once and writes once. At the tail the delivery joins the broadcast, where there is
    one and another reader, and is pumped again when it has to leave it. A `full` connection is left alone until it has
    drained; the events that it missed are then read from the log, merged. `state` is the dialect's state at the
    reader's position.
    """

    def __init__(
        self,
        wire: Outlet,
        reader: ReaderPort,
        dialect: Dialect[Any],
        state: Any,
        gzip: Gzip | None,
        broadcast: Broadcast | None,
        *,
        limit: int,
        heartbeat_seconds: float,
        meter: Deliveries,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()
        self.reader = reader
        self.write = wire.write
        self.frame = wire.frame
        self._wire = wire
        self._broadcast = broadcast
        self.first = False
        self._joined = False
        self._live = False
        self.meter = meter
        self._dialect = dialect
        self.state = state
        self.gzip = gzip
        self._heartbeat_seconds = heartbeat_seconds
        self.last_write = self._loop.time()
        self._heartbeat: asyncio.TimerHandle | None = None
        self._missed = 0
        self._drains = 0
        self._later: asyncio.Handle | None = None
        # One bound method for both: each keeps it for as long as the answer lasts.
        pump = self._pump
        reader.on_news(pump)
        wire.watch(limit, pump, self._probe)
        self._start_heartbeat()

    def begin(self, body: bytes) -> None:
        """Writes the first bytes, and what the log has already."""
        if body and not self._wire.gone:
            self._write(body, self._loop.time())
        self._pump()

    def come_along(self) -> None:
        """Called by the broadcast where this was the first reader at the tail, and a second one has come."""
        if not self.over.done():
            self._join()

    def go_alone(self) -> None:
        """Called by the broadcast where its members have to continue alone."""
        self._pump()

    def fail(self, error: Exception) -> None:
        """Called by the broadcast where it could not write to this member."""
        self._leave()
        if not self.over.done():
            self._fail(error)

    def stop(self) -> None:
        """Leaves the broadcast, stops watching the connection and stops the timers."""
        self._leave()
        if self.first and self._broadcast is not None:
            self._broadcast.forget_first(self)
        self._wire.unwatch()
        self._stop_heartbeat()
        self._put_off()

    def _pump(self) -> None:
        """Runs within the append that brings news, once for each reader: it must not raise into it."""
        if self._joined:
            self._leave()
        wire, reader = self._wire, self.reader
        if wire.full or wire.gone or reader.left or reader.at_end or self.over.done():
            self._held_up()
            return
        try:
            self._deliver(self._loop.time())
        except Exception as error:
            self._fail(error)

    def _deliver(self, now: float) -> None:
        reader = self.reader
        found = reader.take(now)
        if self._later is not None:
            self._put_off()
        if found is None:
            self._live = True
            self._wait_for(reader.deadline())
            self._join()
        elif isinstance(found, Notice):
            self.meter.told(found)
            self._write(self._dialect.notice(self.state, found), now)
            self._go_on(over=isinstance(found, Reconnect))
        else:
            if reader.mergeable:
                self.meter.merged(found)
            body = self._dialect.encode(self.state, found, merge=reader.mergeable)
            if body and self.gzip is None:
                # As `_write`, without the call: each token comes here.
                self.last_write = now
                self._wire.write(self.frame(body))
            else:
                # A reader that joins a broadcast uses its compressor; a history needs none of its own.
                self._write(body, now, live=not reader.more and (self.first or self._broadcast is None))
            if self._live:
                self.meter.wrote(reader.stream)
            self._live = not reader.more
            if reader.at_end or reader.more:
                self._go_on(over=reader.at_end)
            elif self._broadcast is not None and not self.first:
                self._join()

    def _probe(self) -> None:
        """Writes a heartbeat, which makes a client that is gone answer with a reset."""
        if self.over.done() or self._wire.full or self._wire.check():
            return
        self._leave()
        self._write(self._dialect.heartbeat, self._loop.time())
        self._pump()

    def _fail(self, error: Exception) -> None:
        if self.over.done():
            return
        if self._wire.check():
            self.over.set_result(None)
        else:
            self.over.set_exception(error)

    def _held_up(self) -> None:
        if self.over.done():
            return
        if self._wire.gone or self.reader.left or self.reader.at_end:
            self.over.set_result(None)
        else:
            self._live = False
            self.reader.fall_behind()

    def _wait_for(self, due: float) -> None:
        if due != float("inf"):
            self._later = self._loop.call_at(due, self._pump)

    def _go_on(self, *, over: bool) -> None:
        if self.over.done():
            # The write of the end has filled the connection, whose callback has ended this delivery already.
            return
        if over:
            self.over.set_result(None)
        elif self.reader.more:
            # The rest of a long log takes turns with other deliveries.
            self._later = self._loop.call_soon(self._pump)

    def _write(self, body: bytes, now: float, *, live: bool = False) -> None:
        self.last_write = now
        if not body:
            # An empty chunk would be the end of the response, and a WebSocket has heartbeats of its own.
            return
        if self.gzip is not None:
            plain, body = body, self.gzip.write(body, live=live)
            self.meter.compressed(plain, body)
        self._wire.write(self.frame(body))

    def _join(self) -> None:
        # If the last write fills the connection later, its callback makes this delivery leave again.
        if self._broadcast is None or self.first or self._wire.full:
            return
        if self._broadcast.join(self):
            self._joined = True
            self._stop_heartbeat()

    def _leave(self) -> None:
        if self._joined and self._broadcast is not None:
            self._joined = False
            self._broadcast.leave(self)
            self.last_write = self._loop.time()
            self._start_heartbeat()

    def _start_heartbeat(self) -> None:
        self._heartbeat = self._loop.call_later(self._heartbeat_seconds, self._beat)

    def _stop_heartbeat(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.cancel()
            self._heartbeat = None

    def _beat(self) -> None:
        if self._wire.check():
            return
        now = self._loop.time()
        due = self.last_write + self._heartbeat_seconds
        # On a WebSocket the bytes that drain may be another stream's. But the client reads, so it is not stalled.
        stalled = self._wire.full and due <= now and self._drains == self._wire.drains
        self._drains = self._wire.drains
        self._missed = self._missed + 1 if stalled else 0
        if due <= now:
            if self._missed == STALLED_BEATS:
                self._wire.abort()
                return
            # A full connection has bytes to send, and needs no heartbeat.
            if not self._wire.full:
                self._write(self._dialect.heartbeat, now)
            due = now + self._heartbeat_seconds
        self._heartbeat = self._loop.call_at(due, self._beat)

    def _put_off(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
