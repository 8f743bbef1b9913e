from __future__ import annotations

from collections.abc import Callable
from typing import SupportsIndex

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.cursor import Cursor
from tidegate.core.events import Completed, Delta, Event, Extra, Started, Usage, encode
from tidegate.core.kept_log import PAGE_ENTRIES, RELEASED, KeptLog, release
from tidegate.core.log import NO_LIMIT, Log, Page
from tidegate.core.notices import Gap
from tidegate.core.packed_page import pack
from tidegate.core.steps import finished
from tidegate.errors import StreamEnded

END = Completed("stop", Usage(1, 1, 2))
SPACED = Extra(chunk=msgspec.Raw(b'{\n"id": 1}'))

# What a producer does: it says something once or very often, or another process takes over.
Saying = tuple[str, Event, int]
TEXTS = st.text(max_size=5) | st.just("\n") | st.integers(1, 70_000).map("x".__mul__)
EVENTS = TEXTS.map(Delta) | TEXTS.map(lambda text: Delta(text, SPACED))
SAYINGS = st.tuples(st.sampled_from(["say", "say", "take over"]), EVENTS, st.sampled_from([1, 2, 100, 600]))


def log_of(sayings: list[Saying]) -> Log:
    log = Log("epoch0")
    log.append([Started("gen_1", "m", 1.0)])
    for number, (what, event, times) in enumerate(sayings, 1):
        if what == "take over":
            log.begin_epoch(f"epoch{number}")
        elif log.size + times * (len(str(event))) < 1 << 18:
            log.append([event] * times)
    log.append([END])
    return log


def long_log(tokens: int) -> Log:
    log = Log("epoch0")
    log.append([Started("gen_1", "m", 1.0), *[Delta(" word")] * tokens, END])
    return log


def kept(log: Log) -> KeptLog:
    return finished(KeptLog.of(log))


def read_all(read: Callable[..., Page | Gap], limit: int, max_bytes: int) -> list[object]:
    found: list[object] = []
    after, more = None, True
    while more:
        page = read(after, limit=limit, max_bytes=max_bytes)
        assert isinstance(page, Page)
        found.append((list(page.entries), page.after, page.more, page.at_end))
        after, more = page.after, page.more
    return found


@given(st.lists(SAYINGS, max_size=5), st.data())
def test_a_kept_log_answers_as_the_log_that_it_was(sayings: list[Saying], data: st.DataObject) -> None:
    """Whoever reads, from whatever position and however much at a time, cannot tell that the log was packed."""
    log = log_of(sayings)
    packed = kept(log)
    assert (packed.tail, packed.cursor, packed.size) == (log.tail, log.cursor, log.size)
    assert packed.ended
    assert packed.end == log.end == END
    assert list(packed.epochs) == list(log.epochs)
    limit = data.draw(st.sampled_from([1, 7, PAGE_ENTRIES - 1, PAGE_ENTRIES, PAGE_ENTRIES + 1, 4096]))
    max_bytes = data.draw(st.sampled_from([0, 1, 100, 65_536, NO_LIMIT]))
    offset = data.draw(st.integers(-1, log.tail + 2))
    epoch = data.draw(st.sampled_from([*(epoch for epoch, _ in log.epochs), "unknown"]))
    cursor = Cursor(epoch, offset)
    for asked in (None, cursor):
        one = log.read(asked, limit=limit, max_bytes=max_bytes)
        other = packed.read(asked, limit=limit, max_bytes=max_bytes)
        if isinstance(one, Gap) or isinstance(other, Gap):
            assert one == other
            continue
        assert (list(one.entries), one.after, one.more) == (list(other.entries), other.after, other.more)
    if 0 <= offset <= log.tail:
        assert packed.at(offset) == log.at(offset)


@given(st.lists(SAYINGS, max_size=5), st.sampled_from([100, 511, 4096]), st.sampled_from([1000, 65_536, NO_LIMIT]))
def test_a_replay_of_a_kept_log_is_that_of_the_log(sayings: list[Saying], limit: int, max_bytes: int) -> None:
    """Page by page, a replay ends with the end, and has everything once."""
    log = log_of(sayings)
    assert read_all(kept(log).read, limit, max_bytes) == read_all(log.read, limit, max_bytes)


def test_an_append_that_is_repeated_after_the_end_is_recognised() -> None:
    """A kept log knows which events stand after a position, and which do not."""
    log = long_log(1000)
    packed = kept(log)
    words = [Delta(" word")] * 700
    for after, events in [
        (0, [Started("gen_1", "m", 1.0)]),
        (300, words),
        (log.tail - 1, [END]),
        (log.tail, []),
        (log.tail, [END]),
        (log.tail - 2, words),
        (1, [Delta("other")]),
    ]:
        assert packed.holds(after, events) == log.holds(after, events)


def test_nothing_is_added_to_a_kept_log() -> None:
    """A stream has one end, and no process can take it over after that."""
    packed = kept(log_of([]))
    with pytest.raises(StreamEnded):
        packed.append([Delta("late")])
    with pytest.raises(StreamEnded):
        packed.begin_epoch("another")


def test_a_kept_token_takes_no_more_than_its_json() -> None:
    """What a live log has for each event besides its JSON is given back, and most of the JSON, too."""
    log = long_log(2000)
    assert log.weight > 5 * log.size
    assert kept(log).weight < log.size


def test_a_big_event_is_shared_by_its_readers() -> None:
    """However many read an event of megabytes, and however often, it is in memory once."""
    log = Log("epoch0")
    big = encode(Delta("x" * 4_000_000))
    log.append([Started("gen_1", "m", 1.0), Delta("small"), big, Delta("small"), END])
    packed = kept(log)
    for after in (None, packed.at(1), packed.at(2)):
        page = packed.read(after, limit=512, max_bytes=NO_LIMIT)
        assert isinstance(page, Page)
        assert next(entry for entry in page.entries if entry.offset == 3).json is big


class Counted(bytes):
    """A packed page that counts how often it is unpacked."""

    times = 0

    def replace(self, old: object, new: object, count: SupportsIndex = -1) -> bytes:
        self.times += 1
        return bytes(self).replace(old, new, count)  # type: ignore[reportArgumentType]


def test_a_page_that_does_not_fit_is_not_unpacked() -> None:
    """A read that has no room for the next event copies nothing of its page."""
    events = [encode(Delta("x" * 100))] * 10
    following = pack(events)
    assert isinstance(following, bytes)
    counted = Counted(following)
    size = sum(map(len, events))
    packed = KeptLog([("epoch0", 0)], [pack(events), counted], [10, 20], 2 * size)
    page = packed.read(None, limit=512, max_bytes=size + len(events[0]) - 1)
    assert isinstance(page, Page)
    assert (len(page.entries), page.more, counted.times) == (10, True, 0)
    page = packed.read(None, limit=512, max_bytes=size + len(events[0]))
    assert isinstance(page, Page)
    assert (len(page.entries), counted.times) == (11, 1)


def test_a_long_log_is_packed_in_steps() -> None:
    """While a log of megabytes is packed, the loop can do something else every few thousand events."""
    steps = sum(1 for _ in KeptLog.of(long_log(100_000)))
    assert 100_000 / 4096 < steps < 100_000 / PAGE_ENTRIES


def test_a_long_log_is_freed_in_steps() -> None:
    """What was packed goes a few thousand objects at a time, and all of it."""
    log = long_log(3 * RELEASED)
    packed = kept(log)
    steps = 0
    for _ in release(log):
        steps += 1
        assert log.tail - log.earliest.offset > 3 * RELEASED - steps * RELEASED
    assert steps == 4
    assert log.earliest.offset == log.tail == packed.tail == 3 * RELEASED + 2
    assert len(read_all(packed.read, 4096, NO_LIMIT)) == 4
