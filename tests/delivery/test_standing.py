"""Where a reader begins, and what its dialect remembers there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from numbered_kit import Numbered, check_merged, read, told

from tidegate.core.cursor import Cursor
from tidegate.core.events import Completed, Delta, Event, Started, Usage
from tidegate.core.log import Entry
from tidegate.delivery.standing import STEP_ENTRIES, stand_at
from tidegate.dialects.base import Search, Stand
from tidegate.dialects.native_events import EVENTS

pytestmark = pytest.mark.anyio

END = Completed("stop", Usage(1, 1, 2))


def logged(*events: Event) -> list[Entry]:
    return [Entry.of("aaaa", index + 1, event) for index, event in enumerate(events)]


logs = st.lists(st.text(max_size=3).map(Delta), max_size=8).map(lambda deltas: logged(Started("g", "m", 1.0), *deltas))
whole_logs = logs.map(lambda log: [*log, Entry.of("aaaa", len(log) + 1, END)])


async def paged(log: Sequence[Entry], size: int = 3) -> AsyncGenerator[Sequence[Entry]]:
    for start in range(0, len(log), size):
        yield log[start : start + size]


async def unread() -> AsyncGenerator[Sequence[Entry]]:
    raise AssertionError("nobody has to look at the log")
    yield ()


@given(whole_logs, st.integers(0, 10), st.booleans())
async def test_a_reader_may_begin_at_any_cursor(log: list[Entry], offset: int, merge: bool) -> None:
    """What it is told is the rest of what one from the start is told, to the number."""
    offset, dialect = min(offset, len(log)), Numbered()
    stand = await stand_at(dialect, Cursor("aaaa", offset), paged(log), "anna")
    assert stand.after == Cursor("aaaa", offset)
    rest = read(dialect.encode(stand.state, log[offset:], merge=merge))
    had = len(told(log[:offset]))
    if merge:
        check_merged(rest, told(log), after=had - 1)
    else:
        assert rest == told(log)[had:]


@given(whole_logs, st.integers(-1, 20), st.booleans())
async def test_a_reader_may_begin_after_any_event_of_its_dialect(log: list[Entry], number: int, merge: bool) -> None:
    """Also between two events that are one in the log: it is sent the other."""
    number, dialect = min(number, len(told(log)) - 1), Numbered()
    stand = await stand_at(dialect, dialect.position(str(number), param="after"), paged(log), "anna")
    offset = 0 if stand.after is None else stand.after.offset
    rest = read(dialect.encode(stand.state, log[offset:], merge=merge))
    if merge:
        check_merged(rest, told(log), after=number)
    else:
        assert rest == told(log)[number + 1 :]


@given(whole_logs, st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=8))
async def test_a_state_is_a_function_of_the_log_alone(log: list[Entry], cuts: list[tuple[int, bool]]) -> None:
    """However the log was cut, merged or skipped on its way, at one position the state is one and the same."""
    dialect, at = Numbered(), 0
    state = dialect.begin()
    for size, merge in cuts:
        dialect.encode(state, log[at : at + size], merge=merge)
        at = min(len(log), at + size)
        assert state == (await stand_at(dialect, Cursor("aaaa", at), paged(log), "anna")).state


async def test_nobody_looks_at_a_log_for_a_dialect_that_remembers_nothing() -> None:
    """A native reader attaches at once, however long its stream is; and so does any at the beginning."""
    assert await stand_at(EVENTS, Cursor("aaaa", 5), unread(), "anna") == Stand(Cursor("aaaa", 5), None)
    assert await stand_at(Numbered(), None, unread(), "anna") == Stand(None, Numbered().begin())


async def test_a_place_that_the_log_does_not_have_is_lost() -> None:
    """A cursor is answered by a gap, which leads to the beginning; a number that was never said leads there at once."""
    dialect, log = Numbered(), logged(Started("g", "m", 1.0), Delta("a"))
    assert await stand_at(dialect, Cursor("aaaa", 7), paged(log), "anna") == Stand(Cursor("aaaa", 7), dialect.begin())
    search = dialect.position("99", param="after")
    assert await stand_at(dialect, search, paged(log), "anna") == Stand(None, dialect.begin())


class Watched:
    """A search that notes how much it is given at a time."""

    def __init__(self, search: Search[Any]) -> None:
        self._search = search
        self.sizes: list[int] = []

    def go_on(self, entries: Sequence[Entry]) -> Stand[Any] | None:
        self.sizes.append(len(entries))
        return self._search.go_on(entries)


async def test_a_long_log_is_gone_through_a_little_at_a_time() -> None:
    """Other work has its turn in between: a step is short, whatever the size of a page."""
    log = logged(Started("g", "m", 1.0), *[Delta("x")] * 2000)
    search = Watched(Numbered().position("3001", param="after"))
    stand = await stand_at(Numbered(), search, paged(log, 1800), "anna")
    assert stand.after == Cursor("aaaa", 1501)
    assert search.sizes == [STEP_ENTRIES, STEP_ENTRIES, STEP_ENTRIES]
