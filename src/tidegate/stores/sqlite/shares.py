"""The shares that are in memory, and the way to those that are in the file alone."""

from __future__ import annotations

from functools import partial

from tidegate.stores.records import Share
from tidegate.stores.sqlite import reader
from tidegate.stores.sqlite.streams import Ask

KEPT_SHARES = 1024
"""Half a KB each: the links that are opened again and again. All others cost one read."""


class Shares:
    """Belongs on the loop's thread. Those that were asked for least lately go first."""

    def __init__(self, ask: Ask, max_shares: int = KEPT_SHARES) -> None:
        self._ask = ask
        self._max_shares = max_shares
        self._kept: dict[bytes, Share] = {}
        self._cleared = 0

    async def found(self, digest: bytes) -> Share | None:
        """The share, if there is one. What is not there is looked for anew each time."""
        while (share := self._kept.pop(digest, None)) is None:
            cleared = self._cleared
            share = await self._ask(partial(reader.share_of, digest=digest))
            # What was read before some share was revoked may be of that one.
            if cleared == self._cleared:
                break
        if share is not None:
            self._keep(share)
        return share

    def clear(self) -> None:
        """Some share is revoked, or is gone with its stream: all are read again."""
        self._cleared += 1
        self._kept.clear()

    def _keep(self, share: Share) -> None:
        self._kept.pop(share.digest, None)
        self._kept[share.digest] = share
        if len(self._kept) > self._max_shares:
            del self._kept[next(iter(self._kept))]
