"""Fills one stream of its own. What both faces have in common."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tidegate.client import paths
from tidegate.client.calls import Calls, new_key
from tidegate.client.offline import Offline
from tidegate.errors import Conflict, Fenced, StreamEnded, TidegateError

LEASE_SECONDS = 5.0
"""A server's default, until the server has told its own."""

BEATS_PER_LEASE = 3
"""A lease is renewed when one of these parts has passed without an append, so at the latest after two of them."""


class _Lease(msgspec.Struct):
    token: str
    seconds: Annotated[float, Meta(gt=0)]


class _Opened(msgspec.Struct):
    id: str
    offset: int
    text: str
    lease: _Lease | None


class _Appended(msgspec.Struct):
    offset: int


class Production:
    """A stream that this program fills. `open` comes first; `keep` renews the lease until `close`.

    `text` is what was written before: by an earlier run of the program, with the same key.
    `cancelled`: somebody has ended the stream, or the server has, because the lease ran out. `ended`: nothing more can
    be appended, by this producer at least.
    """

    def __init__(self, calls: Calls, key: str | None, metadata: Mapping[str, str]) -> None:
        self.id = ""
        self.text = ""
        self.offset = 0
        self.ended = False
        self.cancelled = False
        self._calls = calls
        self._key = new_key() if key is None else key
        self._metadata = metadata
        self._line = calls.wire.line()
        self._pauses = calls.wire.line()
        self._lock = calls.wire.lock()
        self._token = ""
        self._lease_seconds = LEASE_SECONDS
        self._was_quiet = False

    async def open(self) -> None:
        """Opens the stream, or finds the one that was opened with this key. Raises as `Calls.repeated`."""
        request = self._calls.request(
            "POST", paths.STREAMS, {"producer": "client", "metadata": self._metadata}, key=self._key
        )
        try:
            opened = await self._calls.repeated(self._line, lambda: self._calls.once(self._line, _Opened, request))
        finally:
            self._line.release()
        self.id, self.text, self.offset = opened.id, opened.text, opened.offset
        self.ended = opened.lease is None
        if opened.lease is not None:
            self._token, self._lease_seconds = opened.lease.token, opened.lease.seconds

    async def append(self, kind: str, data: Mapping[str, Any]) -> None:
        """Appends an event, once, however often that has to be tried. Raises `StreamEnded`, `Fenced` or `Offline`."""
        async with self._lock:
            if self._line.closed:
                raise StreamEnded("this producer has ended its stream, or was closed")
            self._was_quiet = False
            await self._send([{"type": kind, "data": data}])

    async def delta(self, text: str) -> None:
        await self.append("delta", {"text": text})

    async def complete(self, finish_reason: str, usage: Mapping[str, int] | None) -> None:
        await self._finish("completed", {"finish_reason": finish_reason} | ({"usage": usage} if usage else {}))

    async def fail(self, message: str, code: str) -> None:
        await self._finish("failed", {"error": {"type": "server_error", "code": code, "message": message}})

    async def leave(self, error: BaseException | None) -> None:
        """Ends the stream at the end of a `with`: as completed, or as failed if an exception passes.

        What ends the program, a Ctrl-C say, leaves it: whoever comes back with the key goes on.
        """
        try:
            if self.ended or isinstance(error, Conflict | Offline):
                return
            if error is None:
                await self.complete("stop", None)
            elif isinstance(error, Exception):
                await self.fail(type(error).__name__, "producer_failed")
        finally:
            self.close()

    async def keep(self) -> None:
        """Renews the lease while nothing is appended: a model may think for longer. Returns at the end."""
        while not self.ended and not self._pauses.closed:
            self._was_quiet = True
            await self._pauses.wait(self._lease_seconds / BEATS_PER_LEASE)
            # Who appends next is told what stands against it.
            with suppress(TidegateError):
                await self._renew()

    def close(self) -> None:
        """Closes the connection, and leaves the stream as it is."""
        self._pauses.close()
        self._line.close()

    async def _renew(self) -> None:
        async with self._lock:
            if self._was_quiet and not self.ended and not self._pauses.closed:
                await self._send([])

    async def _finish(self, kind: str, data: Mapping[str, Any]) -> None:
        await self.append(kind, data)
        self.ended = True
        self.close()

    async def _send(self, events: list[dict[str, Any]]) -> None:
        body = {"lease": self._token, "expected_offset": self.offset, "events": events}
        request = self._calls.request("POST", paths.stream(self.id, "/append"), body)
        try:
            # The next try has to come before the lease runs out.
            appended = await self._calls.repeated(
                self._line,
                lambda: self._calls.once(self._line, _Appended, request),
                max_delay=self._lease_seconds / BEATS_PER_LEASE,
            )
        except (StreamEnded, Fenced) as error:
            self.ended = True
            self.cancelled = isinstance(error, StreamEnded)
            raise
        finally:
            self._line.release()
        self.offset = appended.offset
