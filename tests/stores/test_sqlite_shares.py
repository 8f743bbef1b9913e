from __future__ import annotations

import asyncio
from collections.abc import Callable
from sqlite3 import Connection
from typing import Any

import pytest

from tidegate.stores.records import Share
from tidegate.stores.sqlite.shares import Shares

pytestmark = pytest.mark.anyio


class File:
    """Answers what it has been given; `meanwhile` is called while the answer is on its way."""

    def __init__(self, *digests: bytes) -> None:
        self.shares = {digest: Share(digest, "gen_1", 2000) for digest in digests}
        self.asked: list[bytes] = []
        self.meanwhile: Callable[[], None] = lambda: None

    async def __call__(self, question: Callable[[Connection], Any]) -> Any:
        digest: bytes = question.keywords["digest"]  # type: ignore[attr-defined]
        self.asked.append(digest)
        answer = self.shares.get(digest)
        await asyncio.sleep(0)
        self.meanwhile()
        return answer


async def test_a_busy_link_costs_one_read() -> None:
    """However often a share is asked for, the file is asked once, until something is revoked."""
    file = File(b"a")
    shares = Shares(file)
    for _ in range(10):
        assert await shares.found(b"a") == file.shares[b"a"]
    assert file.asked == [b"a"]
    shares.clear()
    await shares.found(b"a")
    assert file.asked == [b"a", b"a"]


async def test_what_is_not_there_is_not_remembered() -> None:
    """Guessed tokens take no memory, and a share is found from the moment it is in the file."""
    file = File()
    shares = Shares(file)
    assert await shares.found(b"a") is None
    file.shares[b"a"] = Share(b"a", "gen_1", 2000)
    assert await shares.found(b"a") is not None


async def test_what_is_revoked_while_it_is_looked_up_is_not_found() -> None:
    """An answer from before the share was revoked is neither given nor remembered."""
    file = File(b"a")
    shares = Shares(file)

    def revoke() -> None:
        if file.shares.pop(b"a", None) is not None:
            shares.clear()

    file.meanwhile = revoke
    assert [await shares.found(b"a") for _ in range(2)] == [None, None]


async def test_those_that_were_asked_for_least_lately_go_first() -> None:
    """Memory is bounded, and the links that are in use stay in it."""
    file = File(b"a", b"b", b"c")
    shares = Shares(file, max_shares=2)
    for digest in (b"a", b"b", b"a", b"c"):
        await shares.found(digest)
    file.asked.clear()
    for digest in (b"a", b"c", b"b"):
        await shares.found(digest)
    assert file.asked == [b"b"]


async def test_who_asks_for_one_share_at_once_takes_one_place() -> None:
    """Several that come together for a link push no other out."""
    file = File(b"a", b"b")
    shares = Shares(file, max_shares=2)
    await shares.found(b"b")
    await asyncio.gather(*(shares.found(b"a") for _ in range(5)))
    file.asked.clear()
    await shares.found(b"b")
    assert file.asked == []
