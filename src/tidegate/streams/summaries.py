"""What streams look like without their content: one, and pages of them."""

from __future__ import annotations

from collections.abc import Sequence

from tidegate.core.cursor import Cursor
from tidegate.core.events import Completed, Failed, Terminal
from tidegate.core.fold import Status, Summary, status_of
from tidegate.stores.base import Store
from tidegate.stores.records import StreamRecord
from tidegate.streams.live import LiveStreams


class Summaries:
    """Of the streams of a store, of which this node knows the places in its own queues: `live`."""

    def __init__(self, store: Store, live: LiveStreams) -> None:
        self._store = store
        self._live = live

    def of(self, record: StreamRecord, end: Terminal | None, cursor: Cursor) -> Summary:
        """The record at the cursor: with `end` where that has been read, which may be before the record's own."""
        live = self._live.get(record.id)
        return Summary(
            id=record.id,
            model=record.model,
            status=status_of(end, running=record.running),
            queue_position=None if live is None else live.position,
            finish_reason=end.finish_reason if isinstance(end, Completed) else None,
            usage=end.usage if end is not None else None,
            error=end.error if isinstance(end, Failed) else None,
            cursor=str(cursor),
            created_at=record.created_at,
            ended_at=record.ended_at if end is not None else None,
            metadata=record.metadata,
        )

    async def page(
        self, owner: str | None, status: Status | None, before: str | None, limit: int
    ) -> tuple[Sequence[tuple[str, Summary]], bool]:
        """The owner's, or everybody's, newest first after `before`, each with its owner; and whether there are more."""
        found = await self._store.list(owner=owner, status=status, before=before, limit=limit + 1)
        page = [(each.record.owner, self.of(each.record, each.record.end, each.tail)) for each in found[:limit]]
        return page, len(found) > limit
