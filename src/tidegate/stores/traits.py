"""What a store says about itself before it is opened, and the options it may be opened with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from tidegate.stores.base import Store


class Options(msgspec.Struct, frozen=True):
    """The settings that any store is given. `now` is in Unix seconds.

    `max_stored_bytes` limits all callers together, `max_stored_bytes_each` one of them; 0 means the store's default.
    `synchronous` is for a store that has a disk, the last five are for one that several processes share.
    """

    max_generation_bytes: int
    topic_history: int
    max_stored_bytes: int
    max_stored_bytes_each: int
    synchronous: Literal["normal", "full"]
    now: Callable[[], float]
    retention_seconds: float
    patience_seconds: float
    prefix: str
    password_file: str
    ca_file: str


class Traits(msgspec.Struct, frozen=True):
    """What the table `STORES` has about one store.

    `problem` says what is wrong with a URL of its scheme, None if nothing is. `open` makes the store of a URL, which
    must be empty or without problem; the store's own `open` is still to be called. `place` says where it keeps logs.
    `shared`: several processes can work on one store.
    """

    problem: Callable[[str], str | None]
    open: Callable[[str, Options], Store]
    place: Callable[[str], str]
    shared: bool
