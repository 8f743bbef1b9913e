"""Topics in memory, as both embedded stores hold them: a bounded history, the current state, and who watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from tidegate.core.cursor import Cursor
from tidegate.core.events import Published
from tidegate.core.log import Entry, Log
from tidegate.core.topic import topic_name
from tidegate.errors import StreamNotFound
from tidegate.stores.base import Claim, TopicRecord, Unwatch, check_body
from tidegate.stores.watchers import wake_all

TOPIC_BYTES = 16 << 20
"""History of one topic, as JSON: 1,000 events of 16 KB, or 16 of the largest message. Past it the oldest go."""

OVERHEAD_BYTES = 2048
"""What a topic takes besides its events."""


def no_topic(topic: str) -> StreamNotFound:
    """What every call on a topic that is not there raises."""
    return StreamNotFound(f"there is no topic {topic_name(topic)[:64]!r}")


class HeldTopic:
    """One topic, as far as the store has it; `key` is the store's own number for it.

    `pending` counts the publications on their way: until they have arrived the topic stays in memory.
    """

    def __init__(self, topic: str, log: Log, *, history: int, opened_at: float, key: int = 0) -> None:
        self.topic = topic
        self.key = key
        self.log = log
        self.state: Entry | None = None
        self.published_at: float | None = None
        self.opened_at = opened_at
        self.pending = 0
        self.watchers: dict[object, Callable[[], None]] = {}
        self._claims: dict[str, tuple[bytes, Cursor]] = {}
        self.history = history

    @property
    def record(self) -> TopicRecord:
        return TopicRecord(self.topic, self.log.cursor, self.log.earliest, self.state, self.published_at)

    @property
    def size(self) -> int:
        """Bytes, as JSON."""
        return OVERHEAD_BYTES + self.log.size + (self.state.size if self.state is not None else 0)

    def claimed(self, claim: Claim, *, tail: int = 0) -> Cursor | None:
        """The position of what was published with the claim, while that is kept. Raises `IdempotencyMismatch`.

        `tail` is where the topic will be once what is on its way has arrived: what is too old by then is not kept.
        """
        digest, cursor = self._claims.get(claim.key, (claim.digest, None))
        if cursor is None or cursor.offset <= tail - self.history:
            return None
        check_body(claim, digest)
        return cursor

    def add(self, entry: Entry, event: Published, claim: Claim | None) -> None:
        """Takes what follows the tail, and forgets what is too old for the history."""
        self.log.extend((entry,))
        self.log.keep(entries=self.history, size=TOPIC_BYTES)
        self.published_at = event.at
        if event.state:
            self.state = entry
        if claim is not None:
            # In the order of their positions, also where a key is used again.
            self._claims.pop(claim.key, None)
            self._claims[claim.key] = (claim.digest, entry.cursor)
        self._forget_claims()

    def unused_since(self, before: float) -> bool:
        """Whether it was last published to (or, if it never was, opened) before then, and nobody watches it."""
        used = self.published_at if self.published_at is not None else self.opened_at
        return used < before and not self.watchers and not self.pending

    def wake(self) -> None:
        wake_all(self.topic, self.watchers)

    def _forget_claims(self) -> None:
        earliest = self.log.earliest.offset
        while self._claims:
            key, (_, cursor) = next(iter(self._claims.items()))
            if cursor.offset > earliest:
                break
            del self._claims[key]


class HeldTopics:
    """Those in memory. Past its limits those that were used least lately go first; those that are watched stay."""

    def __init__(self, max_topics: int, max_bytes: int, crowded_out: Callable[[HeldTopic], None]) -> None:
        self._max_topics = max_topics
        self._max_bytes = max_bytes
        self._crowded_out = crowded_out
        self._held: dict[str, HeldTopic] = {}
        self._sizes: dict[str, int] = {}
        self._bytes = 0
        # Apart from the others, so that finding one to let go costs the same however many are watched.
        self._unwatched: dict[str, HeldTopic] = {}

    def __iter__(self) -> Iterator[HeldTopic]:
        return iter(tuple(self._held.values()))

    def get(self, topic: str) -> HeldTopic | None:
        return self._held.get(topic)

    def use(self, held: HeldTopic) -> None:
        """Keeps it as the one used last; to be called whenever it has grown."""
        topic = held.topic
        self._held[topic] = held
        size = held.size
        self._bytes += size - self._sizes.get(topic, 0)
        self._sizes[topic] = size
        if not held.watchers:
            self._unwatched.pop(topic, None)
            self._unwatched[topic] = held
        if self._is_full():
            self._make_room(held)

    def watch(self, held: HeldTopic, wake: Callable[[], None]) -> Unwatch:
        key = object()
        held.watchers[key] = wake
        self._unwatched.pop(held.topic, None)
        return partial(self._leave, held, key)

    def drop(self, held: HeldTopic) -> None:
        """Lets go of it, and wakes whoever waits."""
        if self._held.get(held.topic) is held:
            del self._held[held.topic]
            self._bytes -= self._sizes.pop(held.topic)
            self._unwatched.pop(held.topic, None)
            held.wake()

    def _leave(self, held: HeldTopic, key: object) -> None:
        if held.watchers.pop(key, None) and not held.watchers and self._held.get(held.topic) is held:
            self.use(held)

    def _make_room(self, newest: HeldTopic) -> None:
        while self._is_full():
            idle = (held for held in self._unwatched.values() if held is not newest and not held.pending)
            if (oldest := next(idle, None)) is None:
                return
            self.drop(oldest)
            self._crowded_out(oldest)

    def _is_full(self) -> bool:
        return self._bytes > self._max_bytes or len(self._held) > self._max_topics
