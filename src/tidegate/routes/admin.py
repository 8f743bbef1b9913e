"""The operators' calls: list connections with the lag of their readers, list all streams, close a connection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import get_args

import msgspec

from tidegate.core.connection_state import State
from tidegate.core.fold import Status, Summary
from tidegate.errors import NotFound, StreamNotFound
from tidegate.routes.call import Call, parse_choice, parse_number
from tidegate.serving.registry import Attached, Connection, Transport

PAGE = 100
MAX_PAGE = 1000
"""The longest page of connections or streams: some 300 bytes each."""


class CarriedStream(msgspec.Struct, frozen=True):
    """A stream, or `topic:NAME`, that a connection carries; null where there is no position yet, or no stream any more.

    `lag` is the number of events that it has still to be sent.
    """

    id: str
    cursor: str | None
    lag: int | None


class OpenConnection(msgspec.Struct, frozen=True, kw_only=True):
    """A WebSocket, or a call that is attached to a stream.

    `principal` is null until it is known who is calling, `opened_at` in Unix seconds, `idle_s` the seconds since
    anything came from the client, if only an acknowledgement of TCP's. What the kernel does not count is null; what it
    counts is the whole TCP connection, which may have served other calls before.
    """

    id: str
    principal: str | None
    address: str
    transport: Transport
    state: State
    opened_at: float
    idle_s: float | None
    bytes_in: int | None
    bytes_out: int | None
    streams: list[CarriedStream]


class ConnectionList(msgspec.Struct, frozen=True):
    """Connections, newest first."""

    data: list[OpenConnection]
    has_more: bool


class OwnedStream(Summary, frozen=True, kw_only=True):
    """Anybody's stream; `readers` are those that are attached to it."""

    owner: str
    readers: int


class OwnedStreamList(msgspec.Struct, frozen=True):
    """A page of everybody's streams, newest first."""

    data: list[OwnedStream]
    has_more: bool


async def list_connections(call: Call) -> None:
    """Answers with the newest connections that match the query."""
    query = call.query()
    limit = parse_number(query.get("limit"), param="limit", default=PAGE, low=1, high=MAX_PAGE)
    transport: Transport | None = parse_choice(query.get("transport"), get_args(Transport), param="transport")
    found = list(islice(_matching(call, transport, query.get("principal")), limit + 1))
    page = found[:limit]
    tails = await _tails(call, page)
    await call.answer_json(ConnectionList([_shown(connection, tails) for connection in page], len(found) > limit))


async def list_streams(call: Call) -> None:
    """Answers with a page of everybody's streams, newest first."""
    query = call.query()
    limit = parse_number(query.get("limit"), param="limit", default=PAGE, low=1, high=MAX_PAGE)
    status: Status | None = parse_choice(query.get("status"), get_args(Status), param="status")
    page, has_more = await call.service.list_all(status=status, before=query.get("before"), limit=limit)
    readers = Counter(reader.stream for reader in call.service.readers.attached)
    data = [
        OwnedStream(**msgspec.structs.asdict(summary), owner=owner, readers=readers[summary.id])
        for owner, summary in page
    ]
    await call.answer_json(OwnedStreamList(data, has_more))


async def close(call: Call) -> None:
    """Asks the client of a connection to reconnect."""
    connection = call.context.registry.find(call.params["id"])
    if connection is None:
        raise NotFound("there is no such connection, or none any more")
    connection.drain("draining")
    await call.answer_empty()


def _matching(call: Call, transport: Transport | None, principal: str | None) -> Iterator[Connection]:
    for connection in call.context.registry:
        if transport in (None, connection.transport) and principal in (None, connection.principal):
            yield connection


async def _tails(call: Call, connections: Sequence[Connection]) -> Mapping[str, int]:
    """The last offset of each stream that the connections carry, if the stream still exists."""
    tails: dict[str, int] = {}
    for stream in {reader.stream for connection in connections for reader in connection.readers}:
        with suppress(StreamNotFound):
            tails[stream] = (await call.service.tail(stream)).offset
    return tails


def _shown(connection: Connection, tails: Mapping[str, int]) -> OpenConnection:
    traffic = connection.traffic()
    return OpenConnection(
        id=connection.id,
        principal=connection.principal,
        address=connection.address,
        transport=connection.transport,
        state=connection.state,
        opened_at=connection.opened_at,
        idle_s=None if traffic is None else traffic.idle_s,
        bytes_in=None if traffic is None else traffic.received,
        bytes_out=None if traffic is None else traffic.sent,
        streams=[_carried(reader, tails) for reader in connection.readers],
    )


def _carried(reader: Attached, tails: Mapping[str, int]) -> CarriedStream:
    at, tail = reader.at, tails.get(reader.stream)
    lag = None if tail is None else max(0, tail - (0 if at is None else at.offset))
    return CarriedStream(reader.stream, None if at is None else str(at), lag)
