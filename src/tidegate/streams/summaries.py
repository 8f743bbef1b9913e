"""Summaries of streams, i.e. all but their content: one, and pages of them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from tidegate.core.cursor import Cursor
from tidegate.core.events import Completed, Failed, Terminal
from tidegate.core.fold import ListedStream, Status, Summary, status_of
from tidegate.stores.base import Store
from tidegate.stores.records import StreamRecord
from tidegate.streams.live import LiveStreams

MAX_LISTED_QUESTION = 4096
"""Bytes of a question in a list, as JSON: it tells streams apart, and a page of a hundred stays below half a megabyte.
"""


class Summaries:
    """Makes summaries of the streams of a store; queue positions are known for this node's own streams (`live`)."""

    def __init__(self, store: Store, live: LiveStreams) -> None:
        self._store = store
        self._live = live

    def of(self, record: StreamRecord, end: Terminal | None, cursor: Cursor) -> Summary:
        """The summary of the record at the cursor. `end` is the end up to the cursor: None if the record's own end
        follows it."""
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
    ) -> tuple[Sequence[tuple[StreamRecord, Summary]], bool]:
        """Summaries of the owner's streams (None: all), newest first after `before`, each with its record; and whether
        there are more."""
        found = await self._store.list(owner=owner, status=status, before=before, limit=limit + 1)
        page = [(each.record, self.of(each.record, each.record.end, each.tail)) for each in found[:limit]]
        return page, len(found) > limit


def listed(record: StreamRecord, summary: Summary) -> ListedStream:
    """The summary with the question, if it is short and stands in the record as the store has listed it."""
    question = None if record.request is None else record.request.question_json
    is_short = question is not None and memoryview(question).nbytes <= MAX_LISTED_QUESTION
    return ListedStream(**msgspec.structs.asdict(summary), question=question if is_short else UNSET)
