"""Finds where a reader begins, and its dialect's state there, by going through the log up to that position."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

from tidegate.core.cursor import Cursor
from tidegate.core.log import Entry
from tidegate.core.steps import Steps
from tidegate.dialects.base import CursorSearch, Dialect, Search, Stand
from tidegate.serving.fair_turns import in_turns

State = TypeVar("State")

STEP_ENTRIES = 512
"""Entries of a log per step: about a millisecond of the loop, where a dialect has to look at every event."""


async def stand_at(
    dialect: Dialect[State],
    place: Cursor | Search[State] | None,
    pages: AsyncGenerator[Sequence[Entry]],
    account: str,
) -> Stand[State]:
    """The stand at a place (None: the beginning) in the log of these `pages`, found in turns with other long work.

    The pages are read only where the dialect needs them. Where the log does not have the place, the reader starts from
    the beginning, after a gap if the place is a cursor.
    """
    if place is None:
        return Stand(None, dialect.begin())
    if isinstance(place, Cursor):
        if not dialect.remembers:
            return Stand(place, dialect.begin())
        search, lost = CursorSearch(dialect, place), place
    else:
        search, lost = place, None
    async with aclosing(pages):
        async for page in pages:
            if (found := await in_turns(_through(search, page), account)) is not None:
                return found
    return Stand(lost, dialect.begin())


def _through(search: Search[State], page: Sequence[Entry]) -> Steps[Stand[State] | None]:
    for start in range(0, len(page), STEP_ENTRIES):
        if start:
            yield
        if (found := search.go_on(page[start : start + STEP_ENTRIES])) is not None:
            return found
    return None
