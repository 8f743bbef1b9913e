"""Events folded into what a stream looks like as a whole: the snapshot."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from tidegate.core.cursor import Cursor
from tidegate.core.events import (
    Cancelled,
    Completed,
    Delta,
    ErrorInfo,
    Failed,
    FinishReason,
    Reasoning,
    Terminal,
    ToolCall,
    Usage,
)
from tidegate.core.log import Entry

Status = Literal["queued", "running", "completed", "cancelled", "failed"]


class FoldedToolCall(msgspec.Struct, frozen=True):
    """One tool call with the fragments of its arguments joined."""

    index: int
    id: str | None
    name: str | None
    arguments: str


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A stream without its content. Times are in Unix seconds; `cursor` is that of the last event folded in.

    `queue_position` counts from 1 and is null unless the status is `queued`.
    """

    id: str
    model: str
    status: Status
    queue_position: int | None
    finish_reason: FinishReason | None
    usage: Usage | None
    error: ErrorInfo | None
    cursor: str
    created_at: float
    ended_at: float | None
    metadata: dict[str, str]


class Snapshot(Summary, frozen=True, kw_only=True):
    """A stream with its content so far."""

    text: str
    reasoning: str
    tool_calls: list[FoldedToolCall]


class Content(msgspec.Struct, frozen=True):
    """What the content events of a log add up to, and the cursor of the last event seen."""

    text: str
    reasoning: str
    tool_calls: list[FoldedToolCall]
    cursor: Cursor | None


def fold(entries: Iterable[Entry]) -> Content:
    """Joins the pieces of text, of reasoning and of each tool call."""
    text: list[str] = []
    reasoning: list[str] = []
    calls: dict[int, list[ToolCall]] = {}
    last: Entry | None = None
    for last in entries:
        event = last.event
        if isinstance(event, Delta):
            text.append(event.text)
        elif isinstance(event, Reasoning):
            reasoning.append(event.text)
        elif isinstance(event, ToolCall):
            calls.setdefault(event.index, []).append(event)
    return Content(
        "".join(text),
        "".join(reasoning),
        [_join(calls[index]) for index in sorted(calls)],
        last.cursor if last else None,
    )


def status_of(end: Terminal | None, *, running: bool) -> Status:
    """The status that a stream has by its terminal event, or by whether a provider has been asked."""
    if isinstance(end, Completed):
        return "completed"
    if isinstance(end, Cancelled):
        return "cancelled"
    if isinstance(end, Failed):
        return "failed"
    return "running" if running else "queued"


def _join(fragments: list[ToolCall]) -> FoldedToolCall:
    return FoldedToolCall(
        fragments[0].index,
        next((fragment.id for fragment in fragments if fragment.id), None),
        next((fragment.name for fragment in fragments if fragment.name), None),
        "".join(fragment.arguments for fragment in fragments),
    )
