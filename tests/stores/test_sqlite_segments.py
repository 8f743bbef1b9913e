from __future__ import annotations

from tidegate.stores.sqlite.segments import DELETED_SEGMENTS, SEGMENT_BYTES, Segments


def filled(count: int) -> Segments:
    """So many segments of two rows each."""
    segments = Segments(SEGMENT_BYTES)
    for n in range(count):
        segments.add(2 * n + 1, 2 * n + 1, SEGMENT_BYTES - 1)
        segments.add(2 * n + 2, 2 * n + 2, 1)
    return segments


def numbers(segments: Segments, row: int) -> list[tuple[int, int]]:
    return [(segment.first, segment.last) for segment in segments.before(row)]


def test_a_segment_goes_when_all_its_rows_may() -> None:
    """No row is deleted that is still needed, and none of those before it stays once its segment is full."""
    segments = filled(3)
    assert [numbers(segments, row) for row in (1, 2, 3, 4, 5)] == [[], [], [(1, 2)], [(1, 2)], [(1, 2), (3, 4)]]


def test_few_segments_are_deleted_together() -> None:
    """However much has become free, one transaction deletes a little of it."""
    segments = filled(DELETED_SEGMENTS + 5)
    assert len(segments.before(1000)) == DELETED_SEGMENTS


def test_what_is_deleted_is_counted_no_more() -> None:
    """The size is that of the rows that are left, and new rows follow behind them."""
    segments = filled(2)
    segments.drop(segments.before(segments.next))
    assert (segments.size, numbers(segments, 1000)) == (0, [])
    segments.add(5, 6, 10)
    assert (segments.size, segments.next, numbers(segments, 7)) == (10, 7, [(5, 6)])
