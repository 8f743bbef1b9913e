from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.cursor import Cursor
from tidegate.core.events import Completed, Delta, Usage, encode
from tidegate.core.log import Log, Page
from tidegate.core.notices import Gap
from tidegate.errors import StreamEnded, TooLong

END = Completed("stop", Usage(1, 1, 2))


def log_of(count: int, **bounds: int) -> Log:
    log = Log("aaaa", **bounds)
    for index in range(count):
        log.append([Delta(f"{index + 1}")])
    return log


def read(log: Log, after: Cursor | None, limit: int = 10, max_bytes: int = 1 << 20) -> Page | Gap:
    return log.read(after, limit=limit, max_bytes=max_bytes)


def texts(found: object) -> list[str]:
    assert isinstance(found, Page)
    return [entry.event.text for entry in found.entries]


def test_reading_goes_on_after_the_cursor() -> None:
    """A reader gets what follows its cursor, in order, and nothing it had."""
    assert texts(read(log_of(5), Cursor("aaaa", 3))) == ["4", "5"]


def test_reading_without_a_cursor_begins_at_the_beginning() -> None:
    """Whoever asks for no position gets everything."""
    assert texts(read(log_of(3), None)) == ["1", "2", "3"]


def test_the_tail_is_a_position_with_nothing_after_it() -> None:
    """At the tail there is nothing to read, and no gap."""
    log = log_of(3)
    assert read(log, log.cursor) == Page([], log.cursor, more=False)


def test_position_zero_is_before_the_first_event() -> None:
    """A cursor at offset 0 reads everything."""
    assert texts(read(log_of(2), Cursor("aaaa", 0))) == ["1", "2"]


@pytest.mark.parametrize("asked", [Cursor("zzzz", 2), Cursor("aaaa", 4), Cursor("aaaa", 10**15)])
def test_a_foreign_or_future_cursor_is_a_gap_that_leads_to_the_beginning(asked: Cursor) -> None:
    """A position this log never gave out is said to be one; everything kept follows."""
    assert read(log_of(3), asked) == Gap(asked, Cursor("aaaa", 0))


def test_what_a_bounded_log_has_forgotten_is_a_gap() -> None:
    """Lost history is said, never skipped."""
    log = log_of(10)
    log.keep(entries=3, size=1 << 20)
    asked = Cursor("aaaa", 5)
    assert read(log, asked) == Gap(asked, Cursor("aaaa", 7))
    assert texts(read(log, Cursor("aaaa", 7))) == ["8", "9", "10"]
    assert log.tail == 10


def test_an_earlier_epoch_stays_valid_up_to_its_tail() -> None:
    """A takeover does not invalidate what readers hold; offsets go on."""
    log = log_of(3)
    log.begin_epoch("bbbb")
    log.append([Delta("4")])
    assert texts(read(log, Cursor("aaaa", 2))) == ["3", "4"]
    assert texts(read(log, Cursor("aaaa", 3))) == ["4"]
    assert log.cursor == Cursor("bbbb", 4)


def test_a_position_that_a_crash_lost_is_a_gap() -> None:
    """A cursor of the old epoch beyond the recovered tail is not mistaken for the new event there."""
    log = log_of(3)
    log.begin_epoch("bbbb")
    log.append([Delta("4")])
    asked = Cursor("aaaa", 4)
    assert read(log, asked) == Gap(asked, Cursor("aaaa", 0))


def test_a_new_epoch_does_not_reach_before_its_beginning() -> None:
    """An epoch knows only the positions that were given out in it."""
    log = log_of(3)
    log.begin_epoch("bbbb")
    asked = Cursor("bbbb", 2)
    assert isinstance(read(log, asked), Gap)


def test_nothing_follows_the_terminal_event() -> None:
    """A stream ends once."""
    log = log_of(1)
    log.append([END])
    assert log.end == END
    with pytest.raises(StreamEnded):
        log.append([Delta("late")])
    with pytest.raises(StreamEnded):
        log.begin_epoch("bbbb")


def test_a_log_past_its_bytes_refuses_and_stays_as_it_is() -> None:
    """An append that is too long changes nothing; the terminal event always fits."""
    size = len(encode(Delta("1234")))
    log = Log("aaaa", max_bytes=2 * size)
    log.append([Delta("1234"), Delta("1234")])
    with pytest.raises(TooLong):
        log.append([Delta("x")])
    assert log.tail == 2
    log.append([END])
    assert log.tail == 3


@given(st.lists(st.lists(st.text(max_size=3), max_size=4)), st.integers(1, 5), st.integers(0, 100))
def test_any_reader_sees_the_same_log(appends: list[list[str]], limit: int, max_bytes: int) -> None:
    """However it was appended and in whatever pieces it is read, the text is the same."""
    log = Log("aaaa")
    for pieces in appends:
        log.append([Delta(piece) for piece in pieces])
    seen: list[str] = []
    cursor = None
    more = True
    while more:
        found = read(log, cursor, limit, max_bytes)
        seen += texts(found)
        assert isinstance(found, Page)
        assert len(found.entries) <= limit
        cursor, more = (found.entries[-1].cursor if found.entries else cursor), found.more
    assert seen == [piece for pieces in appends for piece in pieces]


def test_a_read_is_bounded_in_bytes_but_never_empty_before_the_tail() -> None:
    """A reader holds no more than it asked for, but for one entry that is longer than that by itself."""
    log = Log("aaaa")
    log.append([Delta("x" * 100), Delta("y" * 10_000), Delta("z")])
    assert texts(read(log, None, max_bytes=1000)) == ["x" * 100]
    assert texts(read(log, Cursor("aaaa", 1), max_bytes=1000)) == ["y" * 10_000]
    found = read(log, Cursor("aaaa", 2), max_bytes=1000)
    assert isinstance(found, Page)
    assert not found.more


def test_readers_at_the_same_place_share_their_page() -> None:
    """A thousand readers that had everything are given one object with the next event; who comes later gets its own."""
    log = log_of(2)
    first = read(log, Cursor("aaaa", 1))
    assert isinstance(first, Page)
    log.append([Delta("3")])
    page = read(log, first.after)
    assert read(log, first.after) is page
    assert texts(page) == ["3"]
    log.append([Delta("4")])
    assert texts(read(log, first.after)) == ["3", "4"]


def test_a_log_that_was_kept_elsewhere_is_the_same_log() -> None:
    """From its epochs and its entries a log comes back as it was: what it gave out as positions stays valid."""
    log = log_of(2)
    log.begin_epoch("bbbb")
    log.append([Delta("3")])
    kept = read(log, None)
    assert isinstance(kept, Page)
    restored = Log.restore(log.epochs, kept.entries)
    assert (restored.cursor, restored.size) == (log.cursor, log.size)
    for asked in (Cursor("aaaa", 1), Cursor("aaaa", 3), Cursor("bbbb", 1), Cursor("bbbb", 3)):
        assert read(restored, asked) == read(log, asked)
    restored.begin_epoch("cccc")
    assert restored.append([Delta("4"), END]) == 5
    assert log.epochs == [("aaaa", 0), ("bbbb", 2)]
    assert restored.end == END


def test_entries_that_were_made_beforehand_count_like_events() -> None:
    """However an event comes into the log, its size and the end are known."""
    log, copy = Log("aaaa"), Log("aaaa")
    log.append([Delta("1"), END])
    kept = read(log, None)
    assert isinstance(kept, Page)
    copy.extend(kept.entries)
    assert (copy.size, copy.end, copy.tail) == (log.size, END, 2)


def test_a_log_is_kept_to_so_many_bytes_but_never_empty() -> None:
    """Large events leave room for few; the newest stays however large it is."""
    log = log_of(3)
    length = len(encode(Delta("1")))
    log.keep(entries=10, size=2 * length)
    assert (texts(read(log, None)), log.size, log.earliest) == (["2", "3"], 2 * length, Cursor("aaaa", 1))
    log.append([Delta("x" * 1000)])
    log.keep(entries=10, size=2 * length)
    assert (texts(read(log, None)), log.earliest, log.tail) == (["x" * 1000], Cursor("aaaa", 3), 4)


def test_an_epoch_goes_with_its_last_position() -> None:
    """A log that lives through many processes remembers only the epochs that somebody may still ask for."""
    log = log_of(2)
    for epoch in ("bbbb", "cccc", "dddd"):
        log.begin_epoch(epoch)
        log.append([Delta(epoch)])
    log.keep(entries=2, size=1000)
    assert log.epochs == [("bbbb", 2), ("cccc", 3), ("dddd", 4)]
    assert texts(read(log, Cursor("bbbb", 3))) == ["cccc", "dddd"]
    log.keep(entries=1, size=1000)
    assert log.epochs == [("cccc", 3), ("dddd", 4)]
    assert read(log, Cursor("bbbb", 3)) == Gap(Cursor("bbbb", 3), Cursor("cccc", 4))


@given(st.lists(st.integers(0, 50)), st.integers(1, 5), st.integers(1, 300))
def test_what_is_kept_does_not_depend_on_when_it_was_trimmed(sizes: list[int], entries: int, size: int) -> None:
    """A log that is trimmed late, after it was read from a file say, is the one that was trimmed at every event."""
    often, once = Log("aaaa"), Log("aaaa")
    for length in sizes:
        for log in (often, once):
            log.append([Delta("x" * length)])
        often.keep(entries=entries, size=size)
    once.keep(entries=entries, size=size)
    assert read(often, None) == read(once, None)
    assert (often.size, often.earliest, often.tail) == (once.size, once.earliest, once.tail)
