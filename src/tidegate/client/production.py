"""Fills one stream of its own. What both faces have in common."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tidegate.client import paths
from tidegate.client.calls import ANSWER_SECONDS, Calls, encoded, new_key
from tidegate.client.no_answer import NoAnswer
from tidegate.client.offline import Offline
from tidegate.client.session import TERMINAL_EVENTS
from tidegate.errors import Fenced, InvalidValue, StreamEnded, TidegateError

LEASE_SECONDS = 5.0
"""A server's default, until the server has told its own."""

BEATS_PER_LEASE = 4
"""A lease is renewed when one of these parts has passed without an append, and no wait between two tries is longer."""

MIN_TRY_SECONDS = 2.0
"""A lease that is very short does not make the network any faster."""

APPEND_ATTEMPTS = 30
"""They take some 45 s, with a lease of 5 s, where the server refuses connections."""

NOT_TAKEN = frozenset({400, 409, 413, 422})
"""The statuses of a server that has read an append, and does not take it."""


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


@dataclass(slots=True, eq=False)
class _Event:
    """An event that was given to the producer; `error` says why the server has not taken it."""

    kind: str
    json: msgspec.Raw
    error: TidegateError | None = None


class Production:
    """A stream that this program fills. `open` comes first; `keep` renews the lease until `close`.

    `text` is what was written before: by an earlier run of the program, with the same key.
    `ended`: nothing more can be appended, by this producer at least. `cancelled`: somebody else has ended the stream,
    and not the server because the lease ran out.
    `attempts` is for appends; for the other calls it is that of `calls`.
    """

    def __init__(self, calls: Calls, key: str | None, metadata: Mapping[str, str], attempts: int | None) -> None:
        self.id = ""
        self.text = ""
        self.offset = 0
        self.ended = False
        self.cancelled = False
        self._calls = calls
        self._patient = calls.with_attempts(attempts)
        self._key = new_key() if key is None else key
        self._metadata = metadata
        self._line = calls.wire.line()
        self._pauses = calls.wire.line()
        self._lock = calls.wire.lock()
        self._token = ""
        self._lease_seconds = LEASE_SECONDS
        self._asked_at = 0.0
        # What the server has not said yet that it has.
        self._waiting: deque[_Event] = deque()
        self._is_unanswered = False

    async def open(self) -> None:
        """Opens the stream, or finds the one that was opened with this key. Raises as `Calls.repeated`."""
        request = self._calls.request(
            "POST", paths.STREAMS, {"producer": "client", "metadata": self._metadata}, key=self._key
        )
        self._asked_at = time.monotonic()
        try:
            # A lost answer has to be repeated before the lease that it told runs out.
            opened = await self._calls.repeated(
                self._line, lambda: self._calls.once(self._line, _Opened, request, self._try_seconds)
            )
        finally:
            self._line.release()
        self.id, self.text, self.offset = opened.id, opened.text, opened.offset
        self.ended = opened.lease is None
        if opened.lease is not None:
            self._token, self._lease_seconds = opened.lease.token, opened.lease.seconds

    async def append(self, kind: str, data: Mapping[str, Any]) -> None:
        """Appends an event, once, however often that has to be tried. Raises `StreamEnded`, `Fenced` or `Offline`."""
        await self._append(self._patient, kind, data)

    async def delta(self, text: str) -> None:
        await self.append("delta", {"text": text})

    async def complete(self, finish_reason: str, usage: Mapping[str, int] | None) -> None:
        await self.append("completed", {"finish_reason": finish_reason} | ({"usage": usage} if usage else {}))

    async def fail(self, message: str, code: str) -> None:
        await self.append("failed", _failure(message, code))

    async def leave(self, error: BaseException | None) -> None:
        """Ends the stream at the end of a `with`: as completed, or as failed if an exception passes.

        What ends the program, a Ctrl-C say, leaves it: whoever comes back with the key goes on.
        """
        try:
            if self.ended or self._line.closed:
                return
            if error is None:
                await self.complete("stop", None)
            elif isinstance(error, Exception) and not self._is_unanswered:
                # It is less important than the exception that passes; if need be the lease tells it.
                with suppress(TidegateError):
                    await self._append(
                        self._calls.with_attempts(1), "failed", _failure(type(error).__name__, "producer_failed")
                    )
        finally:
            self.close()

    async def keep(self) -> None:
        """Renews the lease while nothing is appended: a model may think for longer. Returns at the end."""
        while not self.ended and not self._pauses.closed:
            await self._pauses.wait(max(0.0, self._until_renewal))
            # Who appends next is told what stands against it; a function that tells the key may raise anything.
            with suppress(Exception):
                await self._renew()

    def close(self) -> None:
        """Closes the connection, and leaves the stream as it is."""
        self._pauses.close()
        self._line.close()

    @property
    def _until_renewal(self) -> float:
        return self._asked_at + self._lease_seconds / BEATS_PER_LEASE - time.monotonic()

    @property
    def _try_seconds(self) -> float:
        """How long an answer may take: on a connection that is dead there has to be time for another one."""
        return min(max(self._lease_seconds / 3, MIN_TRY_SECONDS), ANSWER_SECONDS)

    async def _renew(self) -> None:
        async with self._lock:
            if self._until_renewal <= 0 and not self.ended and not self._pauses.closed:
                # A single try, after which others have their turn.
                calls = self._calls.with_attempts(0)
                await (self._send(calls) if self._waiting else self._post(calls, ()))

    async def _append(self, calls: Calls, kind: str, data: Mapping[str, Any]) -> None:
        if not self.id:
            raise InvalidValue("this producer has no stream yet: `async with client.produce() as producer` opens it")
        event = _Event(kind, msgspec.Raw(encoded({"type": kind, "data": data})))
        self._insist_on_open()
        self._waiting.append(event)
        async with self._lock:
            await self._send(calls)
        if event.error is not None:
            raise event.error

    def _insist_on_open(self) -> None:
        if self._line.closed:
            raise StreamEnded("this producer has ended its stream, or was closed")

    async def _send(self, calls: Calls) -> None:
        """Sends what waits: that of callers who have left, too, since the server may have it."""
        while self._waiting:
            event = self._waiting[0]
            try:
                self._insist_on_open()
                await self._post(calls, [event.json])
            except TidegateError as error:
                if error.status not in NOT_TAKEN:
                    raise
                event.error = error
            else:
                if event.kind in TERMINAL_EVENTS:
                    self.ended = True
                    self.close()
            self._waiting.popleft()

    async def _post(self, calls: Calls, events: Sequence[msgspec.Raw]) -> None:
        self._asked_at = time.monotonic()
        body = {"lease": self._token, "expected_offset": self.offset, "events": events}
        request = calls.request("POST", paths.stream(self.id, "/append"), body)
        try:
            # The next try has to come before the lease runs out.
            appended = await calls.repeated(
                self._line,
                lambda: calls.once(self._line, _Appended, request, self._try_seconds),
                max_delay=self._lease_seconds / BEATS_PER_LEASE,
                on_failure=self._note_failure,
            )
        except (StreamEnded, Fenced) as error:
            self.ended = True
            self.cancelled = isinstance(error, StreamEnded)
            raise
        except NoAnswer as error:
            raise StreamEnded("this producer was closed while it waited for an answer") from error
        except Offline:
            self._is_unanswered = True
            raise
        finally:
            self._line.release()
        self.offset = appended.offset
        self._is_unanswered = False

    def _note_failure(self, delay: float, error: TidegateError) -> None:
        self._is_unanswered = isinstance(error, NoAnswer)


def _failure(message: str, code: str) -> dict[str, Any]:
    return {"error": {"type": "server_error", "code": code, "message": message}}
