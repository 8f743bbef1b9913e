"""Topics: publishing to them, subscribing to them, and their presence."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import msgspec

from tidegate.core.batching import BatchPolicy
from tidegate.core.cursor import Cursor
from tidegate.core.events import Published
from tidegate.core.notices import Presence, Subscribed
from tidegate.core.principal import Principal
from tidegate.core.topic import check_size, check_type, topic_id
from tidegate.errors import TopicForbidden
from tidegate.stores.base import Store
from tidegate.stores.cluster import Cluster
from tidegate.stores.records import Claim, TopicRecord
from tidegate.streams.presence import Attender, Roll, present
from tidegate.streams.quotas import Quotas
from tidegate.streams.reader import Reader
from tidegate.streams.readers import Readers, Stay

Begin = Cursor | Literal["earliest", "latest"]


class Topics:
    """The topics of one store. A message may take `max_message_bytes` on a WebSocket. `now` is in Unix seconds."""

    def __init__(
        self,
        store: Store,
        cluster: Cluster,
        readers: Readers,
        quotas: Quotas,
        *,
        max_message_bytes: int,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._cluster = cluster
        self._max_message_bytes = max_message_bytes
        self._readers = readers
        self._quotas = quotas
        self._now = now
        self._rolls: dict[str, Roll] = {}

    async def publish(
        self, name: str, data: msgspec.Raw, sender: Principal, *, type: str, state: bool, claim: Claim | None = None
    ) -> Cursor:
        """Appends a message and returns its position; for a claim that was made before, the earlier message's position.

        `data` comes from `json_data`.

        Raises `InvalidValue`, `BodyTooLarge`, `TopicForbidden`, `IdempotencyMismatch`, `StorageFull` or
        `StoreUnavailable`.
        """
        topic = topic_id(name)
        check_type(type)
        check_rights(name, sender.topics_write)
        names = len(name) + len(type) + len(msgspec.json.encode(sender.name))
        check_size(data, names, self._max_message_bytes)
        event = Published(name=type, data=data, sender=sender.name, at=round(self._now(), 3), state=state)
        answer = self._store.publish(topic, event, claim=claim)
        return await answer if isinstance(answer, Future) else answer

    async def subscribe(
        self,
        name: str,
        viewer: Principal,
        *,
        after: Begin,
        transport: str,
        max_seconds: float = 0,
    ) -> tuple[Reader, Subscribed]:
        """Attaches a reader, which the caller closes; also answers where it begins, and the topic's state there.

        Raises `InvalidValue`, `TopicForbidden` or `TooManyReaders`.
        """
        topic = topic_id(name)
        check_rights(name, viewer.topics_read)
        with self._quotas.seat(viewer.account) as place:
            await self._store.open_topic(topic)
            record = await self._store.topic(topic)
            begin = _begin(after, record)
            stay = Stay(viewer, transport, place, Attender(self._roll(topic), viewer.name))
            reader = self._readers.attach(
                topic,
                stay,
                after=begin,
                live_from=record.tail.offset,
                batch=BatchPolicy(),
                max_seconds=max_seconds,
                resumed=isinstance(after, Cursor),
            )
        return reader, Subscribed(begin, _state(record))

    def presence(self, name: str, viewer: Principal) -> Sequence[tuple[str, int]]:
        """Each subscribed principal with its number of connections. Raises `InvalidValue` or `TopicForbidden`."""
        topic = topic_id(name)
        check_rights(name, viewer.topics_read)
        return present(self._cluster, topic)

    @property
    def known(self) -> int:
        """How many topics have subscribers at this node, or had some a moment ago."""
        return len(self._rolls)

    def close(self) -> None:
        """Stops all notices of presence."""
        for roll in self._rolls.values():
            roll.close()
        self._rolls.clear()

    def _roll(self, topic: str) -> Roll:
        roll = self._rolls.get(topic)
        if roll is None:
            self._rolls[topic] = roll = Roll(self._cluster, topic, partial(self._changed, topic))
        return roll

    def _changed(self, topic: str, presence: Presence) -> None:
        for reader in self._readers.of(topic) if presence.joined or presence.left else ():
            reader.tell(presence)
        if not self._rolls[topic].readers:
            self._rolls.pop(topic).close()


def check_rights(name: str, rights: Sequence[str] | None) -> None:
    """Raises `TopicForbidden` unless a principal's `topics_read` or `topics_write` covers the topic (None: all)."""
    if rights is not None and not any(_covers(right, name) for right in rights):
        raise TopicForbidden("these credentials are not for this topic")


def _covers(right: str, name: str) -> bool:
    return name.startswith(right[:-1]) if right.endswith("*") else name == right


def _begin(after: Begin, record: TopicRecord) -> Cursor:
    if isinstance(after, Cursor):
        return after
    return record.tail if after == "latest" else record.earliest


def _state(record: TopicRecord) -> bytes:
    event = record.state.event if record.state is not None else None
    return bytes(event.data) if isinstance(event, Published) else b"null"
