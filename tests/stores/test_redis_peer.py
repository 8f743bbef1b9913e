from __future__ import annotations

import asyncio

import pytest
from eventually_kit import eventually

from tidegate.stores.parts import Parts
from tidegate.stores.redis.nodes.kept_parts import KeptParts
from tidegate.stores.redis.nodes.messages import Counted
from tidegate.stores.redis.nodes.peer import Peer

pytestmark = pytest.mark.anyio

ARRIVED = Counted("far", 1, [("owner readers", "gen_1", "", 1)])

EXCUSED = Counted("far", 2, [("owner readers", "gen_1", "excused", 1), ("owner readers", "gen_1", "", 0)])


def parts(**numbers: int) -> Parts:
    """Parts of one count; `present` is its number without a member."""
    found = Parts()
    for member, number in numbers.items():
        found.put("owner readers", "gen_1", "" if member == "present" else member, number)
    return found


class Followed:
    """A peer, what Redis answers it next, and its counts as they were seen at each change."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[KeptParts] = asyncio.Queue()
        self.seen: list[object] = []
        self.peer = Peer(self.answers.get, self._changed, lambda: None)

    def _changed(self, what: str, key: str) -> None:
        self.seen.append(self.peer.parts.of("owner readers", "gen_1"))


async def test_what_was_told_together_is_not_seen_in_halves() -> None:
    """All parts are read in pages: one may have a departure, and an earlier one lack the mark that excuses it."""
    far = Followed()
    far.peer.hear(ARRIVED)
    far.answers.put_nowait(KeptParts(parts(present=1), 1, 1))
    await eventually(lambda: far.seen == [1])
    far.peer.read()
    far.answers.put_nowait(KeptParts(parts(), 1, 2))
    await eventually(far.answers.empty)
    await asyncio.sleep(0)
    assert far.seen == [1]
    far.peer.hear(EXCUSED)
    assert far.seen == [1, {"excused": 1}]


async def test_what_redis_has_lost_is_not_lost_here() -> None:
    """The other node tells it again; meanwhile nobody is taken for gone."""
    far = Followed()
    far.peer.hear(ARRIVED)
    far.answers.put_nowait(KeptParts(parts(present=1), 1, 1))
    await eventually(lambda: far.seen == [1])
    far.peer.read()
    far.answers.put_nowait(KeptParts(parts(), 0, 0))
    await eventually(far.answers.empty)
    far.peer.hear(EXCUSED)
    await eventually(lambda: len(far.seen) == 2)
    assert far.seen == [1, {"excused": 1}]


async def test_a_repeated_message_changes_nothing() -> None:
    """A broken connection may have sent it twice."""
    far = Followed()
    far.peer.hear(ARRIVED)
    far.answers.put_nowait(KeptParts(parts(present=1), 1, 1))
    await eventually(lambda: far.peer.is_known)
    for news in (EXCUSED, ARRIVED, EXCUSED):
        far.peer.hear(news)
    assert far.seen == [1, {"excused": 1}]
