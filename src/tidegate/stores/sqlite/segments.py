"""Counts the rows of the journal by segments, so that they can be deleted piece by piece."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

SEGMENT_BYTES = 64 << 10
"""Rows are counted, and deleted, together up to this size: there are few numbers to remember, and a segment is deleted
in a millisecond or two."""

DELETED_SEGMENTS = 4
"""Segments that are deleted in one transaction: commits wait for it, some milliseconds."""


class Segment:
    """Successive rows: the numbers of the first and the last one, and their bytes together."""

    __slots__ = ("first", "last", "size")

    def __init__(self, first: int, last: int, size: int) -> None:
        self.first = first
        self.last = last
        self.size = size


class Segments:
    """The segments of the journal, in order. `size` is that of all of them in bytes, `next` the next row's number.

    A segment is full when it has `segment_bytes` or more.
    """

    def __init__(self, segment_bytes: int) -> None:
        self.size = 0
        self.next = 1
        self._segment_bytes = segment_bytes
        self._segments: deque[Segment] = deque()
        self._newest: Segment | None = None  # unless it is being deleted

    def add(self, first: int, last: int, size: int) -> None:
        """Adds rows behind the others."""
        newest = self._newest
        if newest is not None and newest.size < self._segment_bytes:
            newest.last, newest.size = last, newest.size + size
        else:
            self._newest = Segment(first, last, size)
            self._segments.append(self._newest)
        self.size += size
        self.next = last + 1

    def before(self, row: int) -> Sequence[Segment]:
        """Returns the oldest segments whose rows all come before this one, at most `DELETED_SEGMENTS`.

        No rows are added to them any more, since they are being deleted.
        """
        found: list[Segment] = []
        for segment in self._segments:
            if segment.last >= row or len(found) == DELETED_SEGMENTS:
                break
            found.append(segment)
            if segment is self._newest:
                self._newest = None
        return found

    def drop(self, segments: Sequence[Segment]) -> None:
        """Forgets the oldest segments, whose rows have been deleted."""
        for segment in segments:
            oldest = self._segments.popleft()
            assert oldest is segment, "segments are deleted in order"
            self.size -= segment.size
