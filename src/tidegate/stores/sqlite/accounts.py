"""Charges the owners of streams: for all streams the bytes in the file, for live ones also the memory they take."""

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
from tidegate.stores.sqlite.writer import Change, Line, Write

LIVE_BYTES = 1 << 30
"""Memory for all live streams, which are held whole, each token as an object: as much as the memory store has."""

LIVE_BYTES_EACH = 128 << 20
"""Memory for one caller's live streams: some 650,000 tokens, with their prompts."""

logger = logging.getLogger("tidegate.stores")


class LiveCharge:
    """The charge of one live stream: its bytes in the file, and its weight in memory, which outlasts its end."""

    def __init__(self, disk: Charge, memory: Charge, covered: int) -> None:
        self.covered = covered
        self._disk = disk
        self._memory = memory
        self._ended = False

    def cover(self, size: int, weight: int) -> None:
        """Charges for a log of `size` bytes in the file and `weight` bytes in memory. Raises `StorageFull`."""
        self._disk.cover(size)
        self.covered = self._memory.cover(weight)

    def share(self, shares: int) -> None:
        """Charges for so many more shares of the stream; a negative number is given back."""
        self._disk.add(SHARE_BYTES * shares)

    def end(self, size: int) -> None:
        """Notes that the stream has ended, and takes `size` bytes in the file from now on, which are no longer this
        charge's to give back."""
        self._disk.end(size, 0)
        self._ended = True

    def give_back(self) -> None:
        """Gives the charges back: that for memory alone once the stream has ended."""
        if not self._ended:
            self._disk.give_back()
        self._memory.give_back()


class Opening(Line):
    """The line of a stream that is being created, and is charged already."""

    def __init__(self, charge: LiveCharge) -> None:
        super().__init__()
        self.charge = charge


class Eviction(Line):
    """The line of an eviction: ended streams of an account are being forgotten, and `promised` bytes count as free."""

    def __init__(self, account: str, promised: int) -> None:
        super().__init__()
        self.account = account
        self.promised = promised


class Accounts:
    """The accounts of all owners; belongs on the loop's thread. `more` evicts other data of an account once its ended
    streams are gone."""

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
        """Starts with the bytes that each account's `ended` streams take; evictions go to `put`, and `gone` is told the
        id of each stream that was evicted."""
        self._loop, self._put, self._gone = loop, put, gone
        for account, size in ended:
            self.add(account, size)

    def close(self) -> None:
        """Stops evictions and sets all counts to 0."""
        self._put = self._gone = _lost
        self._ended.clear()
        self.ledger.clear()
        self._memory.clear()

    def live(self, record: StreamRecord, claim: Claim | None, log: Log | None = None) -> LiveCharge:
        """The charge of a new stream or, with `log`, of one that exists. Raises `StorageFull` for a new one."""
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
        """Notes that a live stream has ended, and takes `size` bytes from now on."""
        charge.end(size)
        self._ended[record.owner] += size

    def add(self, account: str, size: int) -> None:
        """Charges `size` more bytes of ended streams; a negative size is given back."""
        self.ledger.charge(account, size, live=False)
        self._ended[account] += size
        if not self._ended[account]:
            del self._ended[account]

    def kept(self, line: Eviction) -> None:
        """Undoes an eviction that could not be written: the promised bytes are not free."""
        self.add(line.account, line.promised)

    def _evict(self, account: str, size: int) -> None:
        before = self.ledger.of(account)
        if (promised := min(size, self._ended[account])) > 0 and self._loop is not None:
            self.add(account, -promised)
            answer: Future[None] = self._loop.create_future()
            line = Eviction(account, promised)
            change = partial(changes.evict, owner=account, size=promised)
            self._put(Change(answer, line, change=change, apply=partial(self._evicted, line)))
        if (left := size - (before - self.ledger.of(account))) > 0:
            self._more(account, left)

    def _evicted(self, line: Eviction, dropped: Sequence[Dropped]) -> None:
        self.add(line.account, line.promised)
        for each in dropped:
            self.add(each.owner, -each.size)
            self._gone(each.stream)
        logger.info("forgot %d streams of %s before their time: %s", len(dropped), line.account, FULL)


def _nothing(account: str, size: int) -> None:
    """Evicts nothing, since live streams are kept."""


def _lost(_: object) -> None:
    """Does nothing, since the store is closed."""
