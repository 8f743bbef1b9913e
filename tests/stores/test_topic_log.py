from __future__ import annotations

import msgspec
import pytest

from tidegate.core.events import Published
from tidegate.core.log import Entry, Log
from tidegate.errors import StreamNotFound
from tidegate.stores.ledger import Ledger
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Claim
from tidegate.stores.topic_charges import TopicCharges
from tidegate.stores.topic_log import OVERHEAD_BYTES, TOPIC_BYTES, TopicLog, TopicLogs

pytestmark = pytest.mark.anyio


def event(data: str = "x", *, state: bool = False) -> Published:
    return Published(data=msgspec.Raw(msgspec.json.encode(data)), sender="key:a", at=1.0, state=state)


def add(held: TopicLog, published: Published, claim: Claim | None = None) -> None:
    entry = Entry.of("aaaa", held.log.tail + 1, published)
    held.add(entry, published, claim)


def topic(name: str = "topic:a", history: int = 1000) -> TopicLog:
    charges = TopicCharges(Ledger(each=0, total=0, evict=lambda account, size: None))
    return TopicLog(name, Log("aaaa"), history=history, opened_at=1.0, charges=charges)


class Limited:
    """Topics with little room, and which of them had to go."""

    def __init__(self, max_topics: int = 3, max_bytes: int = 1 << 20) -> None:
        self.gone: list[str] = []
        self.topics = TopicLogs(max_topics, max_bytes, lambda held: self.gone.append(held.topic))

    def use(self, name: str) -> TopicLog:
        held = self.topics.get(name) or topic(name)
        self.topics.use(held)
        return held


def test_large_events_leave_room_for_few() -> None:
    """A topic is bounded in bytes, whatever its history may hold, and one event is kept however large."""
    held = topic()
    for _ in range(20):
        add(held, event("x" * (1 << 20)))
    assert held.log.tail - held.log.earliest.offset == 15
    assert held.log.size <= TOPIC_BYTES
    add(held, event("x" * (TOPIC_BYTES + 1)))
    assert held.log.tail - held.log.earliest.offset == 1


def test_keys_are_no_more_than_the_events() -> None:
    """A topic that lives for ever does not collect the keys of all that was ever published."""
    held = topic(history=3)
    for n in range(10):
        add(held, event(), Claim(str(n), b""))
    assert [n for n in range(10) if held.claimed(Claim(str(n), b"")) is not None] == [7, 8, 9]


def test_the_topic_used_least_lately_goes_first() -> None:
    """Past the limit on their number, topics go in the order in which they were last used."""
    limited = Limited()
    for name in "abcad":
        limited.use(name)
    assert limited.gone == ["b"]
    assert [held.topic for held in limited.topics] == ["a", "c", "d"]


def test_topics_go_when_their_bytes_are_too_many() -> None:
    """Few topics with much in them are as limited as many with little, and what has gone makes room."""
    limited = Limited(max_bytes=2 * (OVERHEAD_BYTES + 3100))
    for name in "abc":
        held = limited.use(name)
        for _ in range(10):
            add(held, event("x" * 50))
            limited.topics.use(held)
    assert limited.gone == ["a"]
    limited.topics.drop(held)
    limited.use("d")
    assert limited.gone == ["a"]


def test_a_watched_topic_stays_until_its_last_watcher_has_left() -> None:
    """Nobody is robbed of what they read; whoever leaves makes it the one used last."""
    limited = Limited(max_topics=1)
    held = limited.use("a")
    leave = [limited.topics.watch(held, lambda: None) for _ in range(2)]
    for name in "bc":
        limited.use(name)
    assert limited.gone == ["b"]
    leave[0]()
    leave[0]()
    limited.use("d")
    assert limited.gone == ["b", "c"]
    leave[1]()
    assert limited.gone == ["b", "c", "d"]
    limited.use("e")
    assert limited.gone == ["b", "c", "d", "a"]


def test_a_topic_with_publications_on_their_way_stays() -> None:
    """It goes once they have arrived."""
    limited = Limited(max_topics=1)
    held = limited.use("a")
    held.pending = 1
    limited.use("b")
    limited.use("c")
    assert limited.gone == ["b"]
    held.pending = 0
    limited.use("d")
    assert limited.gone == ["b", "a", "c"]


def test_a_topic_that_is_dropped_wakes_its_watchers_and_forgets_them() -> None:
    """Whoever leaves a topic that is gone, perhaps after another of its name has come, changes nothing."""
    limited = Limited()
    held = limited.use("a")
    woken: list[int] = []
    leave = limited.topics.watch(held, lambda: woken.append(1))
    limited.topics.drop(held)
    limited.topics.drop(held)
    assert woken == [1]
    again = limited.use("a")
    leave()
    assert limited.topics.get("a") is again


async def test_nobody_makes_room_for_empty_topics() -> None:
    """Any subscriber can make a topic: they are so many at the most, and what was published elsewhere stays."""
    store = MemoryStore(max_generation_bytes=1000, max_topics=3)
    store.publish("topic:old", event())
    for n in range(5):
        await store.open_topic(f"topic:{n}")
    assert (await store.topic("topic:old")).published_at == 1.0
    assert (await store.topic("topic:4")).published_at is None
    with pytest.raises(StreamNotFound):
        await store.topic("topic:0")
