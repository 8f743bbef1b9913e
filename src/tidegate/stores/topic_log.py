"""Topics in memory, as both embedded stores have them: a bounded history, the current state, and the watchers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate, takewhile

import msgspec

from tidegate.core.cursor import Cursor
from tidegate.core.events import Event, Published
from tidegate.core.log import NO_LIMIT, Entry, Log, Page
from tidegate.core.topic import topic_name
from tidegate.errors import StorageFull, StreamNotFound
from tidegate.stores.records import Claim, Found, TopicRecord, Unwatch, check_body
from tidegate.stores.topic_charges import TOPIC_BYTES as OVERHEAD_BYTES
from tidegate.stores.topic_charges import TopicCharges
from tidegate.stores.watchers import wake_all

TOPIC_BYTES = 16 << 20
"""The longest history of one topic, in bytes of JSON: 1,000 events of 16 KB, or 16 of the largest size. Beyond it the
oldest events are forgotten."""

PUBLISHED_BYTES = 256
"""Memory of a topic's event besides its JSON, in bytes."""

CLAIM_BYTES = 256
"""Memory of an idempotency key besides its text, in bytes."""


TAIL_BYTES = 64 << 10
"""How much of a history that can be read again stays in memory all the same, for readers that are near the tail."""

AWAY = msgspec.Raw(b"null")
"""The data, in memory, of an event whose real data is only in the file."""


def no_topic(topic: str) -> StreamNotFound:
    """The error of every call for a topic that does not exist."""
    return StreamNotFound(f"there is no topic {topic_name(topic)[:64]!r}")


def weight_of(size: int, claim: Claim | None) -> int:
    """The bytes that a sender is charged for an event with `size` bytes of JSON."""
    return size + PUBLISHED_BYTES + (_claim_weight(claim.key) if claim is not None else 0)


class TopicLog:
    """One topic, as far as it is committed; `key` is the store's own number for it.

    `pending` counts queued events: until they are committed, the topic stays in memory.
    """

    def __init__(
        self, topic: str, log: Log, *, history: int, opened_at: float, charges: TopicCharges, key: int = 0
    ) -> None:
        self.topic = topic
        self.key = key
        self.log = log
        self.state: Entry | None = None
        self.published_at: float | None = None
        self.opened_at = opened_at
        self.pending = 0
        self.watchers: dict[object, Callable[[], None]] = {}
        self._claims: dict[str, tuple[bytes, Cursor, str]] = {}
        self.history = history
        self._charges = charges
        self._away = 0
        self._away_to = 0

    @property
    def record(self) -> TopicRecord:
        return TopicRecord(self.topic, self.log.cursor, self.log.earliest, self.state, self.published_at)

    @property
    def size(self) -> int:
        """The memory that the topic takes, about, in bytes."""
        return OVERHEAD_BYTES + self.log.weight - self._away + (self.state.size if self.state is not None else 0)

    @property
    def can_let_go(self) -> bool:
        """Whether much of the history in memory is not its end."""
        return self.log.size - self._away > 2 * TAIL_BYTES

    def let_go(self) -> None:
        """Drops the data of all but the last events; it has to be read from the file again, see `is_away`."""
        found = self.log.read(None, limit=self.history, max_bytes=NO_LIMIT)
        entries = found.entries if isinstance(found, Page) else ()
        sizes = accumulate(entry.size for entry in reversed(entries))
        count = len(entries) - max(1, sum(size <= TAIL_BYTES for size in sizes))
        self._away = sum(entry.size for entry in entries[:count])
        self._away_to = self.log.earliest.offset + count
        self.log.swap(count, _without_data)

    def is_away(self, found: Found) -> bool:
        """Whether the data of some found entries is not in memory."""
        return isinstance(found, Page) and bool(found.entries) and found.entries[0].offset <= self._away_to

    def claimed(self, claim: Claim, *, tail: int = 0) -> Cursor | None:
        """The position of the event that was published with the claim, while it is kept. Raises `IdempotencyMismatch`.

        `tail` is the topic's tail once its queued events are committed: an event that is too old by then is not kept.
        """
        digest, cursor, _ = self._claims.get(claim.key, (claim.digest, None, ""))
        if cursor is None or cursor.offset <= tail - self.history:
            return None
        check_body(claim, digest)
        return cursor

    def add(self, entry: Entry, event: Published, claim: Claim | None, *, reserved: bool = False) -> None:
        """Appends an event, and forgets events that are too old for the history.

        `reserved` says that the sender has been charged for the event already.
        """
        self._charges.add(self.topic, event.sender, weight_of(entry.size, claim), reserved=reserved)
        self.log.extend((entry,))
        self.published_at = event.at
        if claim is not None:
            # Claims stay in the order of their positions, also where a key is used again.
            self._claims.pop(claim.key, None)
            self._claims[claim.key] = (claim.digest, entry.cursor, event.sender)
        before, kept_from = self.state, self.log.earliest.offset
        if event.state:
            self.state = entry
            if before is not None and before.offset <= kept_from:
                self._give_back(before)
        self._keep(self.history, TOPIC_BYTES)

    def charge_to(self, charges: TopicCharges) -> None:
        """Moves this topic's charges to other accounts, which are used from now on."""
        charges.take(self.topic, self._charges.of(self.topic))
        self._charges = charges

    def remember(self, state: Entry | None) -> None:
        """Sets the current state, which the file keeps apart from the history."""
        if state is not None and state.offset <= self.log.earliest.offset:
            self._charges.add(self.topic, _sender(state), weight_of(state.size, None))
        self.state = state

    def reserve(self, sender: str, size: int) -> None:
        """Charges for an event that is about to be published; if need be, forgets the sender's oldest events for it.

        Raises `StorageFull`.
        """
        self.pending += 1
        try:
            self._charges.reserve(sender, size)
        except StorageFull:
            self._give_way(sender, size)
            self._charges.reserve(sender, size)
        finally:
            self.pending -= 1

    @property
    def is_idle(self) -> bool:
        """Whether the topic has neither watchers nor queued events."""
        return not self.watchers and not self.pending

    def unused_since(self, before: float) -> bool:
        """Whether the topic is idle, and was last published to (or, if it never was, opened) before this time."""
        used = self.published_at if self.published_at is not None else self.opened_at
        return used < before and self.is_idle

    def wake(self) -> None:
        wake_all(self.topic, self.watchers)

    def _give_way(self, sender: str, size: int) -> None:
        """Forgets the oldest events while they are this sender's, until so many bytes are free; never the last event.

        The current state is never forgotten.
        """
        found = self.log.read(None, limit=self.history, max_bytes=size)
        entries = found.entries if isinstance(found, Page) else ()
        own = len(list(takewhile(lambda entry: _sender(entry) == sender and not self._is_state(entry), entries)))
        held = self.log.tail - self.log.earliest.offset
        if own:
            self._keep(max(1, held - own), TOPIC_BYTES)

    def _keep(self, entries: int, size: int) -> None:
        for entry in self.log.keep(entries=entries, size=size):
            if entry.offset <= self._away_to:
                self._away -= entry.size
            if not self._is_state(entry):
                self._give_back(entry)
        self._forget_claims()

    def _is_state(self, entry: Entry) -> bool:
        return self.state is not None and entry.offset == self.state.offset

    def _give_back(self, entry: Entry) -> None:
        self._charges.add(self.topic, _sender(entry), -weight_of(entry.size, None))

    def _forget_claims(self) -> None:
        earliest = self.log.earliest.offset
        while self._claims:
            key, (_, cursor, sender) = next(iter(self._claims.items()))
            if cursor.offset > earliest:
                break
            del self._claims[key]
            self._charges.add(self.topic, sender, -_claim_weight(key))


class TopicLogs:
    """The topics in memory. Past its limits the least recently used are dropped first; topics that are watched, or for
    which `may_go` is false, stay. `again` says that topics can be read again: then their histories may be dropped, too.
    """

    def __init__(
        self,
        max_topics: int,
        max_bytes: int,
        crowded_out: Callable[[TopicLog], None],
        *,
        may_go: Callable[[TopicLog], bool] = lambda _: True,
        again: bool = False,
    ) -> None:
        self._max_topics = max_topics
        self._max_bytes = max_bytes
        self._crowded_out = crowded_out
        self._may_go = may_go
        self._again = again
        self._whole: dict[str, TopicLog] = {}
        self._held: dict[str, TopicLog] = {}
        self._sizes: dict[str, int] = {}
        self._bytes = 0
        # Kept apart, so that finding a topic to drop costs the same however many are watched.
        self._unwatched: dict[str, TopicLog] = {}

    def __iter__(self) -> Iterator[TopicLog]:
        return iter(tuple(self._held.values()))

    def get(self, topic: str) -> TopicLog | None:
        return self._held.get(topic)

    def use(self, held: TopicLog) -> None:
        """Marks the topic as used last; to be called whenever it has grown."""
        topic = held.topic
        self._held[topic] = held
        size = held.size
        self._bytes += size - self._sizes.get(topic, 0)
        self._sizes[topic] = size
        self._unwatched.pop(topic, None)
        if not held.watchers and self._may_go(held):
            self._unwatched[topic] = held
        if self._again and held.can_let_go:
            self._whole[topic] = held
        if self._is_full():
            self._make_room(held)

    def watch(self, held: TopicLog, wake: Callable[[], None]) -> Unwatch:
        key = object()
        held.watchers[key] = wake
        self._unwatched.pop(held.topic, None)
        return partial(self._leave, held, key)

    def drop(self, held: TopicLog) -> None:
        """Drops the topic, and wakes its watchers."""
        if self._held.get(held.topic) is held:
            del self._held[held.topic]
            self._bytes -= self._sizes.pop(held.topic)
            self._unwatched.pop(held.topic, None)
            self._whole.pop(held.topic, None)
            held.wake()

    def _leave(self, held: TopicLog, key: object) -> None:
        if held.watchers.pop(key, None) and not held.watchers and self._held.get(held.topic) is held:
            self.use(held)

    def _make_room(self, newest: TopicLog) -> None:
        while self._is_full():
            idle = (held for held in self._unwatched.values() if held is not newest and not held.pending)
            if (oldest := next(idle, None)) is not None:
                self.drop(oldest)
                self._crowded_out(oldest)
            elif self._bytes > self._max_bytes and self._whole:
                self._let_go(self._whole.pop(next(iter(self._whole))))
            else:
                return

    def _let_go(self, held: TopicLog) -> None:
        held.let_go()
        self._bytes += held.size - self._sizes[held.topic]
        self._sizes[held.topic] = held.size

    def _is_full(self) -> bool:
        return self._bytes > self._max_bytes or len(self._unwatched) > self._max_topics


def _without_data(event: Event) -> Event:
    return msgspec.structs.replace(event, data=AWAY) if isinstance(event, Published) else event


def _sender(entry: Entry) -> str:
    return event.sender if isinstance(event := entry.event, Published) else ""


def _claim_weight(key: str) -> int:
    return CLAIM_BYTES + len(key)
