"""The native calls on streams: start, look at, follow, cancel, list, forget."""

from __future__ import annotations

from collections.abc import Awaitable
from time import monotonic
from typing import Literal, get_args

import msgspec

from tidegate.core.batching import BatchPolicy
from tidegate.core.cursor import Cursor
from tidegate.core.cursor import parse as parse_cursor
from tidegate.core.fold import Snapshot, Status, Summary
from tidegate.dialects import native, native_producer
from tidegate.dialects.native_producer import Lease
from tidegate.errors import TidegateError, TooManyReaders
from tidegate.routes.call import LAST_EVENT_ID, Call, check_flag, claim_of, parse_choice, parse_number
from tidegate.stores.base import Claim
from tidegate.streams.quotas import Place
from tidegate.streams.reader import Reader
from tidegate.streams.service import Handle
from tidegate.transports.sse import Delivered, send_events
from tidegate.transports.whole import wait_for_end

SNAPSHOT = "snapshot"
Begin = Cursor | Literal["snapshot"] | None
"""Where a reader of a stream begins: after a cursor, with a snapshot, or (None) at the beginning."""

PAGE = 20
MAX_PAGE = 100


class StreamList(msgspec.Struct, frozen=True):
    """A page of the caller's streams, newest first."""

    data: list[Summary]
    has_more: bool


class Cancellation(msgspec.Struct, frozen=True):
    """How the stream has ended, and its last cursor."""

    status: Status
    cursor: str


class Opened(Snapshot, frozen=True, kw_only=True):
    """A stream that its caller fills; `lease` is null where an idempotency key led to one that has ended.

    `offset` is that of the last event: what the next append expects.
    """

    lease: Lease | None
    offset: int


class Appended(msgspec.Struct, frozen=True):
    """The position after what was appended, and its offset: what the next append expects."""

    cursor: str
    offset: int


async def create(call: Call) -> None:
    """Starts a generation and answers with its events, its snapshot at once, or its snapshot at its end."""
    body = await call.body()
    if (own := native_producer.parse_open(body)) is not None:
        await _open(call, own)
        return
    wanted = native.parse(body)
    query = call.query()
    begin = _begin(call, query)
    if wanted.background:
        handle = await _start(call, wanted)
        snapshot = await call.service.snapshot(handle.stream, call.principal)
        await call.answer_json(snapshot, status=202, headers=stream_headers(call, handle.stream))
        return
    with call.service.seat(call.principal) as seat:
        handle = await _start(call, wanted)
        if wanted.stream:
            await _send(call, handle.stream, begin, query, wanted.batch_policy(call.context.batch), seat)
        else:
            await _answer_whole(call, handle, seat)


def _start(call: Call, wanted: native.CreateStream) -> Awaitable[Handle]:
    return call.service.start(
        wanted.request(),
        owner=call.principal,
        grace=wanted.grace(),
        claim=_claim(call, wanted),
    )


async def append(call: Call) -> None:
    """Appends to a stream that its caller fills, and renews the lease.

    Nothing but its size bounds what brings events; what does not, or brings them once more, is a request. It is counted
    before the body is read, and given back.
    """
    stream, charge = call.stream(), call.charge()
    try:
        wanted, events = native_producer.parse_append(await call.body())
        before = await call.service.tail(stream)
        cursor = await call.service.append(stream, call.principal, wanted.lease, wanted.expected_offset, events)
    except TidegateError:
        charge.keep(monotonic())
        raise
    if cursor.offset > before.offset:
        charge.give_back(monotonic())
    else:
        charge.keep(monotonic())
    await call.answer_json(Appended(str(cursor), cursor.offset))


async def _open(call: Call, wanted: native_producer.OpenStream) -> None:
    stream, token = await call.service.open_leased(wanted.metadata, owner=call.principal, claim=_claim(call, wanted))
    snapshot = await call.service.snapshot(stream, call.principal)
    lease = Lease.of(token, call.service.lease_seconds)
    offset = parse_cursor(snapshot.cursor).offset
    opened = Opened(**msgspec.structs.asdict(snapshot), lease=lease, offset=offset)
    await call.answer_json(opened, status=201, headers=stream_headers(call, stream))


async def look(call: Call) -> None:
    """Answers with the snapshot so far."""
    stream = call.stream()
    await call.answer_json(await call.service.snapshot(stream, call.principal))


def follow(call: Call) -> Awaitable[None]:
    """Answers with the events after the caller's position; 204 where the stream has ended and nothing follows."""
    query = call.query()
    return _send(call, call.stream(), _begin(call, query), query, call.context.batch)


async def cancel(call: Call) -> None:
    """Ends the stream, if it is live, and answers with whichever end won."""
    body = await call.body()
    wanted = native.parse_cancel(body)
    status, cursor = await call.service.cancel(call.stream(), call.principal, wanted.reason)
    await call.answer_json(Cancellation(status, str(cursor)))


async def forget(call: Call) -> None:
    """Ends the stream if it is live, then forgets it."""
    await call.service.forget(call.stream(), call.principal)
    await call.answer_empty()


async def list_streams(call: Call) -> None:
    """Answers with a page of the caller's streams, newest first."""
    query = call.query()
    limit = parse_number(query.get("limit"), param="limit", default=PAGE, low=1, high=MAX_PAGE)
    status = parse_choice(query.get("status"), get_args(Status), param="status")
    page, has_more = await call.service.list(call.principal, status=status, before=query.get("before"), limit=limit)
    await call.answer_json(StreamList(list(page), has_more))


def stream_headers(call: Call, stream: str) -> dict[str, str]:
    """Where the stream is to be found again, whatever becomes of this answer."""
    call.about(stream)
    return {"location": f"{call.base}/v1/streams/{stream}", "tidegate-stream": stream}


async def _answer_whole(call: Call, handle: Handle, seat: Place) -> None:
    headers = stream_headers(call, handle.stream)
    reader = await call.service.follow(
        handle.stream, call.principal, after=None, batch=BatchPolicy(), transport="json", seat=seat
    )
    with call.connected(reader, "json") as connection:
        connection.serve()
        try:
            if not await wait_for_end(call.receive, reader):
                return
            snapshot = await call.service.snapshot(handle.stream, call.principal)
            failure = await call.service.failure(handle)
        except TidegateError as error:
            # Sent away, say: the answer goes on, and is to be found.
            await call.answer_error(error, headers=headers)
            return
    if failure is None:
        await call.answer_json(snapshot, headers=headers)
    else:
        await call.answer_error(failure, headers=headers, beside=msgspec.structs.asdict(snapshot))


async def _send(
    call: Call,
    stream: str,
    begin: Begin,
    query: dict[str, str],
    batch: BatchPolicy,
    seat: Place | None = None,
) -> None:
    if begin != SNAPSHOT and await call.service.at_end(stream, call.principal, begin):
        await call.answer_empty(headers=stream_headers(call, stream))
        return
    encoder = native.MESSAGES if "events" in query else native.EVENTS
    try:
        reader, how = await _attach(call, stream, begin, encoder, batch, seat)
    except TooManyReaders as error:
        await call.answer_reconnect(error)
        return
    with call.connected(reader, "sse") as connection:
        connection.serve()
        await send_events(call.receive, call.send, call.wire, reader, encoder, how)


async def _attach(
    call: Call,
    stream: str,
    begin: Begin,
    encoder: native.NativeEvents,
    batch: BatchPolicy,
    seat: Place | None,
) -> tuple[Reader, Delivered]:
    first, after = native.interval(call.context.heartbeat_seconds), begin
    if after == SNAPSHOT:
        so_far = await call.service.snapshot(stream, call.principal)
        first, after = first + encoder.snapshot(so_far), native.rest_of(so_far)
    sharing = (stream, encoder is native.MESSAGES)
    # Batches are each reader's own.
    together = encoder if batch.max_tokens == 1 else None
    # What can fail comes before the reader: nobody would close it.
    how = call.delivered(stream_headers(call, stream), sharing, encoder=together, first=first)
    reader = await call.service.follow(
        stream,
        call.principal,
        after=after,
        batch=batch,
        transport="sse",
        max_seconds=call.context.max_connection_seconds,
        seat=seat,
    )
    return reader, how


def _begin(call: Call, query: dict[str, str]) -> Begin:
    """`Last-Event-ID` goes before `snapshot`, and that before `after`: who has come back wants the rest."""
    check_flag(query, "snapshot", "1")
    check_flag(query, "events", "message")
    text, param = call.position(query) or (None, "")
    after = None if text is None else parse_cursor(text, param=param)
    return SNAPSHOT if "snapshot" in query and param != LAST_EVENT_ID else after


def _claim(call: Call, wanted: native.CreateStream | native_producer.OpenStream) -> Claim | None:
    return claim_of(call, "streams", msgspec.json.encode(wanted, order="deterministic"))
