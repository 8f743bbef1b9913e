from __future__ import annotations

import pytest

from tidegate.config import LimitSettings, ServerSettings, Settings
from tidegate.workers.portion import portion_of


def limits_of_one(workers: int, **limits: int) -> LimitSettings:
    return portion_of(Settings(server=ServerSettings(workers=workers), limits=LimitSettings(**limits))).limits


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_all_workers_together_take_no_more_than_one_process(workers: int) -> None:
    """Of connections, and of memory for what waits in them."""
    one = LimitSettings(connections=1000)
    each = limits_of_one(workers, connections=1000)
    assert one.connections - workers < each.connections * workers <= one.connections
    assert one.max_buffered_bytes - workers < each.max_buffered_bytes * workers <= one.max_buffered_bytes


def test_no_limit_stays_none_and_the_smallest_stays_one() -> None:
    """Files, and so connections, are limited for each process by the system; and 0 would be no limit."""
    assert limits_of_one(4).connections == 0
    assert limits_of_one(4, connections=2).connections == 1
    assert limits_of_one(4, connections=2, max_buffered_bytes=3).max_buffered_bytes == 1


def test_what_is_limited_elsewhere_is_not_divided() -> None:
    """A caller's limits are counted in the store, or are of what one process is sent."""
    assert limits_of_one(4).concurrent_generations == LimitSettings().concurrent_generations
    assert limits_of_one(4).max_body_bytes == LimitSettings().max_body_bytes
