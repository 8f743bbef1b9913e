"""What a store says of itself before it is opened, and what it may be told then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from tidegate.stores.base import Store


class Options(msgspec.Struct, frozen=True):
    """What the settings say to whichever store there is. `now` is in Unix seconds.

    `max_stored_bytes` are of all callers together, `max_stored_bytes_each` of one; 0 leaves it to the store, which has
    a default that suits it. `synchronous` is for a store that has a disk.
    """

    max_generation_bytes: int
    topic_history: int
    max_stored_bytes: int
    max_stored_bytes_each: int
    synchronous: Literal["normal", "full"]
    now: Callable[[], float]


class Traits(msgspec.Struct, frozen=True):
    """One store, as its row in the table leads to it.

    `problem` says what is wrong with a URL of its scheme, None where nothing is. `open` makes the store of a URL, which
    must be without problem, or none at all; the store is then still to be opened. `place` says where it keeps logs.
    """

    problem: Callable[[str], str | None]
    open: Callable[[str, Options], Store]
    place: Callable[[str], str]
