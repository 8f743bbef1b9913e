"""What a stream looks like without its content."""

from __future__ import annotations

from tidegate.core.cursor import Cursor
from tidegate.core.events import Completed, Failed, Terminal
from tidegate.core.fold import Summary, status_of
from tidegate.stores.records import StreamRecord


def summary_of(record: StreamRecord, end: Terminal | None, cursor: Cursor, queue_position: int | None) -> Summary:
    """The record at the cursor: with `end` where that has been read, which may be before the record's own."""
    return Summary(
        id=record.id,
        model=record.model,
        status=status_of(end, running=record.running),
        queue_position=queue_position,
        finish_reason=end.finish_reason if isinstance(end, Completed) else None,
        usage=end.usage if end is not None else None,
        error=end.error if isinstance(end, Failed) else None,
        cursor=str(cursor),
        created_at=record.created_at,
        ended_at=record.ended_at if end is not None else None,
        metadata=record.metadata,
    )
