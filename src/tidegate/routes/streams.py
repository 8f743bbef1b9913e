"""The native calls on streams: create, append to, look at, follow, cancel, list and forget them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Generator
from contextlib import aclosing, contextmanager
from functools import partial
from time import monotonic
from typing import Literal, get_args

import msgspec

from tidegate.core import sse
from tidegate.core.batching import BatchPolicy
from tidegate.core.cursor import Cursor
from tidegate.core.cursor import parse as parse_cursor
from tidegate.core.fold import ListedStream, Snapshot, Status
from tidegate.core.steps import Steps
from tidegate.delivery.standing import stand_at
from tidegate.dialects import native, native_producer
from tidegate.dialects.fields import fields_of
from tidegate.dialects.identity import identity
from tidegate.dialects.native_events import EVENTS, MESSAGES, SNAPSHOT_END, NativeEvents, interval
from tidegate.dialects.native_producer import Lease
from tidegate.errors import StoreUnavailable, StreamNotFound, TidegateError
from tidegate.routes.answering import Feed, answer_events, answer_whole, stream_headers
from tidegate.routes.call import (
    LAST_EVENT_ID,
    Call,
    check_flag,
    claim_of,
    error_headers,
    parse_choice,
    parse_number,
)
from tidegate.streams.live import Handle
from tidegate.streams.quotas import Slot
from tidegate.streams.reader import Reader

SNAPSHOT = "snapshot"
Begin = Cursor | Literal["snapshot"] | None
"""Where a reader of a stream begins: after a cursor, with a snapshot, or (None) at the beginning."""

PAGE = 20
MAX_PAGE = 100


class StreamList(msgspec.Struct, frozen=True):
    """A page of the caller's streams, newest first."""

    data: list[ListedStream]
    has_more: bool


class Cancellation(msgspec.Struct, frozen=True):
    """How the stream has ended, and its last cursor."""

    status: Status
    cursor: str


class Readers(msgspec.Struct, frozen=True):
    """How many readers are attached to the stream, over any transport and at any node."""

    readers: int


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
    wanted = await call.read(_wanted)
    if isinstance(wanted, native_producer.OpenStream):
        await _open(call, wanted)
        return
    query = call.query()
    begin = _begin(call, query)
    if wanted.background:
        handle = await _start(call, wanted)
        with just_started():
            whole = await call.service.whole(handle.stream, call.principal)
            await call.answer_pieces(whole.pieces(), status=202, headers=stream_headers(call, handle.stream))
        return
    with call.service.seat(call.principal) as seat:
        handle = await _start(call, wanted)
        if wanted.stream:
            batch = wanted.batch_policy(call.context.batch)
            await answer_events(call, _first(_feed(call, handle.stream, begin, _dialect(query), batch, seat)))
        else:
            await answer_whole(call, handle, seat, partial(_answer_whole, call, handle.stream))


@contextmanager
def just_started() -> Generator[None]:
    """Raises `StoreUnavailable` where a stream is gone at once: a failover has lost it, and a repeated call helps."""
    try:
        yield
    except StreamNotFound:
        raise StoreUnavailable("the store has lost what was started a moment ago: start it again") from None


async def _first(preparing: Awaitable[Feed | None]) -> Feed | None:
    """The feed of a stream that was started a moment ago."""
    with just_started():
        feed = await preparing
    if feed is not None:
        feed.attaching = _attached(feed.attaching)
    return feed


async def _attached(attaching: Awaitable[Reader]) -> Reader:
    with just_started():
        return await attaching


def _wanted(body: bytes) -> Steps[native_producer.OpenStream | native.CreateStream]:
    fields = yield from fields_of(body)
    own = yield from native_producer.open_in(fields)
    return own if own is not None else (yield from native.request_in(fields))


async def _start(call: Call, wanted: native.CreateStream) -> Handle:
    claim = await claim_of(call, "streams", identity(wanted))
    return await call.service.start(wanted.request(), owner=call.principal, grace=wanted.grace(), claim=claim)


async def append(call: Call) -> None:
    """Appends to a stream that its caller fills, and renews the lease.

    Appends that bring new events are limited by their size alone; others count as requests. Each is counted before its
    body is read, and the count is given back if there are new events.
    """
    stream, charge = call.stream(), call.charge()
    try:
        place, events = await call.read(native_producer.parse_append)
        done = await call.service.append(stream, call.principal, place.lease, place.expected_offset, events)
    except TidegateError:
        charge.keep(monotonic())
        raise
    if done.fresh:
        charge.give_back(monotonic())
    else:
        charge.keep(monotonic())
    await call.answer_json(Appended(str(done.after), done.after.offset))


async def _open(call: Call, wanted: native_producer.OpenStream) -> None:
    claim = await claim_of(call, "streams", identity(wanted))
    with just_started():
        stream, token = await call.service.open_client_stream(wanted.metadata, owner=call.principal, claim=claim)
        whole = await call.service.whole(stream, call.principal)
        lease = Lease.of(token, call.service.lease_seconds)
        head = {
            **msgspec.structs.asdict(whole.summary),
            "lease": lease,
            "offset": parse_cursor(whole.summary.cursor).offset,
        }
        await call.answer_pieces(whole.pieces(head), status=201, headers=stream_headers(call, stream))


async def look(call: Call) -> None:
    """Answers with the snapshot so far."""
    stream = call.stream()
    await call.answer_pieces((await call.service.whole(stream, call.principal)).pieces())


async def readers(call: Call) -> None:
    """Answers with the number of the stream's readers."""
    await call.answer_json(Readers(await call.service.readers_of(call.stream(), call.principal)))


def follow(call: Call) -> Awaitable[None]:
    """Answers with the events after the caller's position; 204 where the stream has ended and nothing follows."""
    query = call.query()
    feed = _feed(call, call.stream(), _begin(call, query), _dialect(query), call.context.batch)
    return answer_events(call, feed)


async def cancel(call: Call) -> None:
    """Ends the stream, if it is live, and answers with its end, which may be another than this cancellation."""
    wanted = native.parse_cancel(await call.small_body())
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


async def _answer_whole(call: Call, stream: str, failure: TidegateError | None) -> None:
    headers = stream_headers(call, stream)
    whole = await call.service.whole(stream, call.principal)
    if failure is None:
        await call.answer_pieces(whole.pieces(), headers=headers, seated=True)
        return
    call.refused(failure)
    head = {**msgspec.structs.asdict(whole.summary), **failure.body(call.request_id)}
    fields = {**headers, **error_headers(failure, call.request_id)}
    await call.answer_pieces(whole.pieces(head), status=failure.status, headers=fields, seated=True)


async def _feed(
    call: Call, stream: str, begin: Begin, dialect: NativeEvents, batch: BatchPolicy, seat: Slot | None = None
) -> Feed | None:
    headers, after, first, pieces = stream_headers(call, stream), begin, interval(call.context.heartbeat_seconds), None
    if after == SNAPSHOT:
        whole = await call.service.whole(stream, call.principal)
        before, head = dialect.snapshot(whole.summary, whole.rest)
        first, pieces, after = first + before, _as_data(whole.pieces(head)), whole.rest
    elif after is not None and await call.service.at_end(stream, call.principal, after):
        await call.answer_empty(headers=headers)
        return None
    stand = await stand_at(dialect, after, call.service.history(stream, call.principal), call.account)
    # Readers with batches of their own cannot share a broadcast.
    together = batch.max_tokens == 1
    how = call.delivered(headers, stream, dialect, stand.state, together=together, first=first, pieces=pieces)
    attaching = call.service.follow(
        stream,
        call.principal,
        after=stand.after,
        batch=batch,
        transport="sse",
        max_seconds=call.context.max_connection_seconds,
        seat=seat,
        resumed=begin is not None and begin != SNAPSHOT,
    )
    return Feed(attaching, how)


async def _as_data(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(pieces):
        async for piece in pieces:
            yield sse.escaped(piece)
    yield SNAPSHOT_END


def _dialect(query: dict[str, str]) -> NativeEvents:
    return MESSAGES if "events" in query else EVENTS


def _begin(call: Call, query: dict[str, str]) -> Begin:
    """Where to begin. `Last-Event-ID`, from a client that wants the rest, beats `snapshot`, and that beats `after`."""
    check_flag(query, "snapshot", "1")
    check_flag(query, "events", "message")
    text, param = call.position(query) or (None, "")
    after = None if text is None else _dialect(query).position(text, param=param)
    return SNAPSHOT if "snapshot" in query and param != LAST_EVENT_ID else after
