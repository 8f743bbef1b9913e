"""The streams that the doctor fills itself, so that it needs no model; all are deleted at the end."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from tidegate.client.doctor.answer import Answer, decoded
from tidegate.client.doctor.caller import Caller
from tidegate.client.doctor.trouble import Unanswered, Unmeasured
from tidegate.http_client.errors import HttpError

METADATA = {"made_by": "tidegate doctor"}

PAUSE_SECONDS = 0.5
"""Between two attempts to delete a stream."""

DELETED, UNKNOWN = 204, 404

MOST_UNKNOWN = 3
"""How often a stream is to be unknown before it counts as deleted: nodes without a common store know only their own."""


LEAST_PAUSE_SECONDS = 0.2
"""Between two renewals of a lease, however short it is said to be."""

Id = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
"""The id of a stream, which becomes a part of paths."""

Cursor = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
"""A cursor, which goes back in a header."""


class _Lease(msgspec.Struct):
    token: str
    seconds: float


class _Opened(msgspec.Struct):
    id: Id
    offset: int
    lease: _Lease


class _Appended(msgspec.Struct):
    cursor: Cursor
    offset: int


class OwnStream:
    """A stream to append to. Its calls raise `Unanswered` or `HttpError`."""

    def __init__(self, caller: Caller, opened: _Opened) -> None:
        self.id = opened.id
        self.path = f"/v1/streams/{opened.id}"
        self.lease_seconds = opened.lease.seconds
        self._caller = caller
        self._token = opened.lease.token
        self._offset = opened.offset
        self._turn = asyncio.Lock()

    async def say(self, text: str) -> str:
        """Appends a text; returns the cursor after it. Once this returns, the text is in the log."""
        return await self._append([{"type": "delta", "data": {"text": text}}])

    @asynccontextmanager
    async def kept(self) -> AsyncGenerator[None]:
        """Keeps the stream from ending for as long as nothing is appended."""
        renewing = asyncio.create_task(self._renew())
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])

    async def complete(self) -> None:
        """Ends the stream."""
        await self._append([{"type": "completed", "data": {"finish_reason": "stop"}}])

    async def _append(self, events: list[Mapping[str, Any]]) -> str:
        async with self._turn:
            body = {"lease": self._token, "expected_offset": self._offset, "events": events}
            answer = await self._caller.post(f"{self.path}/append", body)
            appended = decoded(expected(answer), _Appended)
            self._offset = appended.offset
            return appended.cursor

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(max(self.lease_seconds / 3, LEAST_PAUSE_SECONDS))
            # Should the lease have run out, the next text is refused.
            with suppress(HttpError, Unanswered):
                await self._append([])


class OwnStreams:
    """Opens streams, and remembers them until they are deleted."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._ids: list[str] = []
        self._openings: list[asyncio.Task[OwnStream]] = []

    async def open(self) -> OwnStream:
        """A new stream. A proxy that repeats this call still opens only one. Raises as `OwnStream` does."""
        # Whoever interrupts this would leave a stream whose id nobody has read.
        opening = asyncio.create_task(self._open())
        self._openings.append(opening)
        return await asyncio.shield(opening)

    async def _open(self) -> OwnStream:
        key = {"idempotency-key": f"doctor-{secrets.token_hex(16)}"}
        answer = await self._caller.post("/v1/streams", {"producer": "client", "metadata": METADATA}, key)
        opened = decoded(expected(answer, 201), _Opened)
        self._ids.append(opened.id)
        return OwnStream(self._caller, opened)

    async def delete(self, seconds: float) -> None:
        """Deletes all streams. Raises `Unmeasured` where that takes longer, and `Unanswered` where it is refused."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*self._openings, return_exceptions=True)
                # One after the other: of calls side by side, a balancer may send each always to the same node.
                for id in tuple(self._ids):
                    await self._delete(id)
        except TimeoutError:
            raise Unmeasured(f"{len(self._ids)} streams are left, which end by themselves") from None

    async def _delete(self, id: str) -> None:
        unknown = 0
        while (status := await self._deleted(id)) != DELETED and unknown < MOST_UNKNOWN:
            unknown += status == UNKNOWN
            await asyncio.sleep(0 if status == UNKNOWN else PAUSE_SECONDS)
        self._ids.remove(id)

    async def _deleted(self, id: str) -> int:
        """The status of an attempt to delete a stream, 0 where there is none. Raises `Unanswered` if it is refused."""
        try:
            answer = await self._caller.call("DELETE", f"/v1/streams/{id}")
        except HttpError:
            return 0
        if answer.code == "missing_scope":
            raise Unanswered(answer)
        return answer.status


def expected(answer: Answer, status: int = 200) -> Answer:
    """The answer, if it has this status. Raises `Unanswered`."""
    if answer.status != status:
        raise Unanswered(answer)
    return answer
