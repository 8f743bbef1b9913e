"""Pages of logs that many readers may want: after a restart all of them replay the same."""

from __future__ import annotations

from tidegate.core.cursor import Cursor
from tidegate.core.log import Page

PAGES_BYTES = 32 << 20
"""All pages of a node together: 500 of those that a replay is sent in."""

Asked = tuple[str, Cursor | None, int, int]


class Pages:
    """Pages by stream and by what was asked. Beyond `max_bytes` of JSON the oldest are dropped."""

    def __init__(self, max_bytes: int = PAGES_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._pages: dict[Asked, Page] = {}
        self._of: dict[str, set[Asked]] = {}

    def get(self, asked: Asked) -> Page | None:
        return self._pages.get(asked)

    def keep(self, asked: Asked, page: Page) -> None:
        """Keeps a page. What follows it must be fixed: it is not the last one of its log."""
        if asked not in self._pages:
            self._pages[asked] = page
            self._of.setdefault(asked[0], set()).add(asked)
            self._bytes += _size(page)
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._pages)))

    def forget(self, stream: str) -> None:
        """Drops all pages of a stream."""
        for asked in tuple(self._of.get(stream, ())):
            self._drop(asked)

    def clear(self) -> None:
        self._pages.clear()
        self._of.clear()
        self._bytes = 0

    def _drop(self, asked: Asked) -> None:
        self._bytes -= _size(self._pages.pop(asked))
        own = self._of[asked[0]]
        own.discard(asked)
        if not own:
            del self._of[asked[0]]


def _size(page: Page) -> int:
    return sum(entry.size for entry in page.entries)
