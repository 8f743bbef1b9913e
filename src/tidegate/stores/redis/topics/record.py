"""What Redis says of a topic: its epochs and positions, its state, and the events of a read."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidegate.core.cursor import Cursor, parse
from tidegate.core.log import Entry, Page, epoch_at, knows
from tidegate.core.notices import Gap
from tidegate.stores.records import Found, TopicRecord
from tidegate.stores.redis.reading import epochs_of

FIELDS = ("epochs", "tail", "first", "state", "state_epoch", "state_at", "published_at")
"""Fields of a topic's record that `record_of` needs, in this order."""

MESSAGE_BYTES = 16 << 10
"""Bytes of JSON that go along with the news of an event: of a larger one every node would be sent all of it at once,
whether or not its readers keep up."""


class Positions(msgspec.Struct, frozen=True):
    """The epochs of a topic, as in `Log.epochs`, its tail, and the offset before its first event."""

    epochs: Sequence[tuple[str, int]]
    tail_offset: int
    first: int = 0

    @classmethod
    def of(cls, epochs: bytes, tail: bytes, first: bytes = b"0") -> Positions:
        """As a topic's record has them."""
        return cls(epochs_of(epochs), int(tail), int(first))

    @property
    def tail(self) -> Cursor:
        return self.at(self.tail_offset)

    @property
    def earliest(self) -> Cursor:
        return self.at(self.first)

    def at(self, offset: int) -> Cursor:
        """The position after the event at the offset."""
        return Cursor(epoch_at(self.epochs, offset), offset)

    def found(self, after: Cursor | None, events: Sequence[bytes]) -> Found:
        """What a read after the cursor has found, where `events` is the JSON that follows the cursor's offset."""
        if after is None:
            after = self.earliest
        elif not knows(self.epochs, after, first=self.first, tail=self.tail_offset):
            return Gap(after, self.earliest)
        entries = [
            Entry(epoch_at(self.epochs, offset), offset, json) for offset, json in enumerate(events, after.offset + 1)
        ]
        last = after.offset + len(entries)
        more = last < self.tail_offset
        return Page(entries, entries[-1].cursor if entries else after, more)


def record_of(topic: str, fields: Sequence[bytes | None]) -> TopicRecord | None:
    """The record with the `FIELDS`; None where there is no topic."""
    epochs, tail, first, state, state_epoch, state_at, published_at = fields
    if epochs is None or tail is None or first is None:
        return None
    positions = Positions.of(epochs, tail, first)
    entry = None
    if state is not None and state_epoch is not None and state_at is not None:
        entry = Entry(state_epoch.decode(), int(state_at), state)
    at = float(published_at) if published_at is not None else None
    return TopicRecord(topic, positions.tail, positions.earliest, entry, at)


def news_of(message: bytes) -> tuple[Cursor, bytes | None]:
    """The position and the JSON of an event that has been published; None where the JSON did not come along."""
    position, _, json = message.partition(b" ")
    return parse(position.decode()), json or None
