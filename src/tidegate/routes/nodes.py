"""What some calls ask of every node: each knows only its own connections, readers, live streams and drops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from time import monotonic
from typing import Any, TypeVar

import msgspec

from tidegate.core.connection_state import State
from tidegate.routes.drops import Drops
from tidegate.serving.registry import Attached, Connection, Registry, Transport
from tidegate.stores.cluster import Cluster
from tidegate.streams.service import Service

Answer = TypeVar("Answer")


class CarriedStream(msgspec.Struct, frozen=True):
    """A stream, or `topic:NAME`, that a connection carries; null where there is no position yet, or no stream any more.

    `lag` is the number of events that it has still to be sent.
    """

    id: str
    cursor: str | None
    lag: int | None


class OpenConnection(msgspec.Struct, frozen=True, kw_only=True):
    """A WebSocket, or a call that is attached to a stream, at one of the nodes.

    `principal` is null until it is known who is calling, `opened_at` in Unix seconds, `idle_s` the seconds since
    anything came from the client, if only an acknowledgement of TCP's. What the kernel does not count is null; what it
    counts is the whole TCP connection, which may have served other calls before.
    """

    id: str
    node: str
    principal: str | None
    address: str
    transport: Transport
    state: State
    opened_at: float
    idle_s: float | None
    bytes_in: int | None
    bytes_out: int | None
    streams: list[CarriedStream]


class WhichConnections(msgspec.Struct, frozen=True, tag=True):
    """Asks for the newest `limit` connections that match. The answer, `list[OpenConnection]`, has no lags."""

    transport: Transport | None
    principal: str | None
    limit: int


class WhichStreams(msgspec.Struct, frozen=True, tag=True):
    """Asks which of these streams the node fills, and how many readers each has there. The answer is `StreamsHere`."""

    ids: list[str]


class CloseConnection(msgspec.Struct, frozen=True, tag=True):
    """Asks the node to send the client of this connection away. The answer is whether it has such a connection."""

    id: str


class WhichDrops(msgspec.Struct, frozen=True, tag=True):
    """Asks how many of a principal's requests of this name were left unanswered there. The answer is the number."""

    principal: str
    name: str


class StreamsHere(msgspec.Struct, frozen=True):
    """What one node knows of some streams: those that it fills, and the numbers of their readers there."""

    filled: list[str]
    readers: dict[str, int]


Question = WhichConnections | WhichStreams | CloseConnection | WhichDrops

_QUESTION = msgspec.json.Decoder(Question)


class Nodes:
    """This node and the others. The answers are by node; a node that does not answer in time is missing."""

    def __init__(self, cluster: Cluster, registry: Registry, service: Service) -> None:
        self._cluster = cluster
        self._registry = registry
        self._service = service
        self._drops = Drops()
        cluster.answer(self._answer)

    async def connections(self, question: WhichConnections) -> Mapping[str, list[OpenConnection]]:
        return await self._ask(question, list[OpenConnection])

    async def streams(self, question: WhichStreams) -> Mapping[str, StreamsHere]:
        return await self._ask(question, StreamsHere)

    async def close(self, question: CloseConnection) -> bool:
        """Sends the client of the connection away; False where no node has it."""
        return self._close(question) or any((await self._ask(question, bool)).values())

    def drop(self, principal: str, name: str) -> None:
        """Counts a request of this name that is left unanswered. Raises `RateLimited`."""
        self._drops.add(principal, name, monotonic())

    async def dropped(self, principal: str, name: str) -> int:
        """How many requests of this name all nodes have left unanswered."""
        return sum((await self._ask(WhichDrops(principal, name), int)).values())

    def unanswered(self, answers: Mapping[str, Any]) -> int:
        """How many nodes are missing in the answers."""
        return max(0, 1 + self._cluster.others - len(answers))

    async def _ask(self, question: Question, kind: type[Answer]) -> Mapping[str, Answer]:
        asked = msgspec.json.encode(question)
        said = {**await self._cluster.ask(asked), self._cluster.node: self._answer(asked)}
        answers: dict[str, Answer] = {}
        for node, answer in said.items():
            # A node of another version may answer otherwise, and counts as one that does not.
            with suppress(msgspec.DecodeError):
                answers[node] = msgspec.json.decode(answer, type=kind)
        return answers

    def _answer(self, question: bytes) -> bytes:
        asked: Question = _QUESTION.decode(question)
        match asked:
            case WhichConnections():
                return msgspec.json.encode(self._connections(asked))
            case WhichStreams(ids):
                return msgspec.json.encode(self._streams(ids))
            case CloseConnection():
                return msgspec.json.encode(self._close(asked))
            case WhichDrops(principal, name):
                return msgspec.json.encode(self._drops.count(principal, name, monotonic()))

    def _connections(self, which: WhichConnections) -> Sequence[OpenConnection]:
        return [self._shown(connection) for connection in islice(self._matching(which), which.limit)]

    def _matching(self, which: WhichConnections) -> Iterator[Connection]:
        for connection in self._registry:
            if which.transport in (None, connection.transport) and which.principal in (None, _caller(connection)):
                yield connection

    def _shown(self, connection: Connection) -> OpenConnection:
        traffic = connection.traffic()
        return OpenConnection(
            id=connection.id,
            node=self._cluster.node,
            principal=_caller(connection),
            address=connection.address,
            transport=connection.transport,
            state=connection.state,
            opened_at=connection.opened_at,
            idle_s=None if traffic is None else traffic.idle_s,
            bytes_in=None if traffic is None else traffic.received,
            bytes_out=None if traffic is None else traffic.sent,
            streams=[_carried(reader) for reader in connection.readers],
        )

    def _streams(self, ids: Sequence[str]) -> StreamsHere:
        asked = set(ids)
        readers = Counter(reader.stream for reader in self._service.readers.attached if reader.stream in asked)
        return StreamsHere([id for id in ids if id in self._service.node.live], readers)

    def _close(self, which: CloseConnection) -> bool:
        connection = self._registry.find(which.id)
        if connection is not None:
            connection.drain("draining")
        return connection is not None


def _caller(connection: Connection) -> str | None:
    return None if connection.principal is None else connection.principal.name


def _carried(reader: Attached) -> CarriedStream:
    return CarriedStream(reader.stream, None if reader.at is None else str(reader.at), None)
