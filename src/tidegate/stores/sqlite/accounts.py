"""What the streams in the file are charged to their owners, and the live ones for the memory that they take besides."""

from __future__ import annotations

import logging
from asyncio import AbstractEventLoop, Future
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from tidegate.core.log import Log
from tidegate.stores.ledger import BLOCK_BYTES, FULL, SHARE_BYTES, Charge, Ledger
from tidegate.stores.records import Claim, StreamRecord, base_of
from tidegate.stores.sqlite import changes
from tidegate.stores.sqlite.rows import Dropped
from tidegate.stores.sqlite.writer import Line, Write

LIVE_BYTES = 1 << 30
"""Of memory, for all live streams: they are held whole, each token as an object. As much as a store in memory has."""

LIVE_BYTES_EACH = 128 << 20
"""The same for one caller: some 650,000 tokens, with their prompts."""

logger = logging.getLogger("tidegate.stores")


class LiveCharge:
    """What one live stream is charged: its bytes in the file, and its weight in memory."""

    def __init__(self, disk: Charge, memory: Charge, covered: int) -> None:
        self.covered = covered
        self._disk = disk
        self._memory = memory

    def cover(self, size: int, weight: int) -> None:
        """Lets the log have so many bytes, and weigh so much. Raises `StorageFull`."""
        self._disk.cover(size)
        self.covered = self._memory.cover(weight)

    def share(self, shares: int) -> None:
        """So many more shares of it, or fewer."""
        self._disk.add(SHARE_BYTES * shares)

    def end(self, size: int) -> None:
        """It has ended, and is charged so much from here on."""
        self._disk.end(size, 0)
        self._memory.give_back()

    def give_back(self) -> None:
        """Nothing of it is kept any more."""
        self._disk.give_back()
        self._memory.give_back()


class Opening(Line):
    """A stream that is about to be there, and is charged already."""

    def __init__(self, charge: LiveCharge) -> None:
        super().__init__()
        self.charge = charge


class Eviction(Line):
    """Ended streams of an account that are about to be forgotten: so many bytes count as free already."""

    def __init__(self, account: str, promised: int) -> None:
        super().__init__()
        self.account = account
        self.promised = promised


class Accounts:
    """Belongs on the loop's thread. `more` has an account give up something else once its ended streams are gone."""

    def __init__(self, *, each: int, total: int, more: Callable[[str, int], None]) -> None:
        self.ledger = Ledger(each=each, total=total, evict=self._evict)
        self._memory = Ledger(each=LIVE_BYTES_EACH, total=LIVE_BYTES, evict=_nothing)
        self._ended: Counter[str] = Counter()
        self._more = more
        self._loop: AbstractEventLoop | None = None
        self._put: Callable[[Write], None] = _lost
        self._gone: Callable[[str], None] = _lost

    def open(
        self,
        loop: AbstractEventLoop,
        ended: Iterable[tuple[str, int]],
        *,
        put: Callable[[Write], None],
        gone: Callable[[str], None],
    ) -> None:
        """From here on streams are forgotten early by `put`, and `gone` is told; `ended` is what is charged to whom."""
        self._loop, self._put, self._gone = loop, put, gone
        for account, size in ended:
            self.add(account, size)

    def close(self) -> None:
        """Nothing is held any more."""
        self._put = self._gone = _lost
        self._ended.clear()
        self.ledger.clear()
        self._memory.clear()

    def live(self, record: StreamRecord, claim: Claim | None, log: Log | None = None) -> LiveCharge:
        """The charge of a new stream, or of one that is there with its log. Raises `StorageFull` for a new one."""
        base, owner = base_of(record, claim), record.owner
        if log is not None:
            disk = Charge(self.ledger, owner, base, log=log.size)
            return LiveCharge(disk, Charge(self._memory, owner, base, log=log.weight), log.weight + BLOCK_BYTES)
        disk = Charge(self.ledger, owner, base)
        try:
            return LiveCharge(disk, Charge(self._memory, owner, base), BLOCK_BYTES)
        except BaseException:
            disk.give_back()
            raise

    def end(self, record: StreamRecord, charge: LiveCharge, size: int) -> None:
        """A live stream has ended, and takes so much from here on."""
        charge.end(size)
        self._ended[record.owner] += size

    def add(self, account: str, size: int) -> None:
        """What has ended takes so much more, or less."""
        self.ledger.charge(account, size, live=False)
        self._ended[account] += size
        if not self._ended[account]:
            del self._ended[account]

    def kept(self, line: Eviction) -> None:
        """It could not be written: what was promised is there still."""
        self.add(line.account, line.promised)

    def _evict(self, account: str, size: int) -> None:
        before = self.ledger.of(account)
        if (promised := min(size, self._ended[account])) > 0 and self._loop is not None:
            self.add(account, -promised)
            answer: Future[None] = self._loop.create_future()
            line = Eviction(account, promised)
            change = partial(changes.evict, owner=account, size=promised)
            self._put(Write(answer, line, change=change, apply=partial(self._evicted, line)))
        if (left := size - (before - self.ledger.of(account))) > 0:
            self._more(account, left)

    def _evicted(self, line: Eviction, dropped: Sequence[Dropped]) -> None:
        self.add(line.account, line.promised)
        for each in dropped:
            self.add(each.owner, -each.size)
            self._gone(each.stream)
        logger.info("forgot %d streams of %s before their time: %s", len(dropped), line.account, FULL)


def _nothing(account: str, size: int) -> None:
    """What is live is kept."""


def _lost(_: object) -> None:
    """The store is closed."""
