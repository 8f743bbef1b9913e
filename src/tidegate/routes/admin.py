"""The operators' calls: list connections with the lag of their readers, list all streams, close a connection.

They are answered for all nodes, whichever node is called.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import get_args

import msgspec

from tidegate.core.cursor import parse
from tidegate.core.fold import Status, Summary
from tidegate.errors import NotFound, StreamNotFound
from tidegate.routes.call import Call, parse_choice, parse_number
from tidegate.routes.nodes import (
    CarriedStream,
    CloseConnection,
    OpenConnection,
    StreamsHere,
    WhichConnections,
    WhichStreams,
)
from tidegate.serving.registry import Transport

PAGE = 100
MAX_PAGE = 1000
"""The longest page of connections or streams: some 300 bytes each."""


class ConnectionList(msgspec.Struct, frozen=True):
    """Connections, newest first. Those of `unanswered` nodes are missing, which did not answer within a second."""

    data: list[OpenConnection]
    has_more: bool
    unanswered: int


class OwnedStream(Summary, frozen=True, kw_only=True):
    """Anybody's stream; `readers` are those that are attached to it, `node` is the one that fills it, if any does."""

    owner: str
    node: str | None
    readers: int


class OwnedStreamList(msgspec.Struct, frozen=True):
    """A page of everybody's streams, newest first. Readers at `unanswered` nodes are not counted, nor those named."""

    data: list[OwnedStream]
    has_more: bool
    unanswered: int


async def list_connections(call: Call) -> None:
    """Answers with the newest connections that match the query."""
    query = call.query()
    limit = parse_number(query.get("limit"), param="limit", default=PAGE, low=1, high=MAX_PAGE)
    transport: Transport | None = parse_choice(query.get("transport"), get_args(Transport), param="transport")
    nodes = call.context.nodes
    answers = await nodes.connections(WhichConnections(transport, query.get("principal"), limit + 1))
    found = sorted((each for answer in answers.values() for each in answer), key=attrgetter("opened_at"), reverse=True)
    page = await _with_lags(call, found[:limit])
    await call.answer_json(ConnectionList(page, len(found) > limit, nodes.unanswered(answers)))


async def list_streams(call: Call) -> None:
    """Answers with a page of everybody's streams, newest first."""
    query = call.query()
    limit = parse_number(query.get("limit"), param="limit", default=PAGE, low=1, high=MAX_PAGE)
    status: Status | None = parse_choice(query.get("status"), get_args(Status), param="status")
    page, has_more = await call.service.list_all(status=status, before=query.get("before"), limit=limit)
    nodes = call.context.nodes
    answers = await nodes.streams(WhichStreams([summary.id for _, summary in page]))
    data = [_owned(owner, summary, answers) for owner, summary in page]
    await call.answer_json(OwnedStreamList(data, has_more, nodes.unanswered(answers)))


async def close(call: Call) -> None:
    """Asks the client of a connection to reconnect."""
    if not await call.context.nodes.close(CloseConnection(call.params["id"])):
        raise NotFound("there is no such connection, or none any more")
    await call.answer_empty()


def _owned(owner: str, summary: Summary, answers: Mapping[str, StreamsHere]) -> OwnedStream:
    return OwnedStream(
        **msgspec.structs.asdict(summary),
        owner=owner,
        node=next((node for node, answer in answers.items() if summary.id in answer.filled), None),
        readers=sum(answer.readers.get(summary.id, 0) for answer in answers.values()),
    )


async def _with_lags(call: Call, connections: Sequence[OpenConnection]) -> list[OpenConnection]:
    tails = await _tails(call, {carried.id for connection in connections for carried in connection.streams})
    return [
        msgspec.structs.replace(connection, streams=[_with_lag(carried, tails) for carried in connection.streams])
        for connection in connections
    ]


async def _tails(call: Call, streams: set[str]) -> Mapping[str, int]:
    """The last offset of each stream that still exists."""
    tails: dict[str, int] = {}
    for stream in streams:
        with suppress(StreamNotFound):
            tails[stream] = (await call.service.tail(stream)).offset
    return tails


def _with_lag(carried: CarriedStream, tails: Mapping[str, int]) -> CarriedStream:
    if carried.id not in tails:
        return carried
    at = 0 if carried.cursor is None else parse(carried.cursor).offset
    return CarriedStream(carried.id, carried.cursor, max(0, tails[carried.id] - at))
