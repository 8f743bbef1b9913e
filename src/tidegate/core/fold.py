"""Folds a stream's events into a snapshot of the whole stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta

from tidegate.core.cursor import Cursor
from tidegate.core.events import (
    TERMINAL_TYPES,
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
from tidegate.core.opaque import Opaque

QUESTION: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "null"}]}
LISTED_QUESTION: dict[str, Any] = {"type": "string"}

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
    """A stream with its content so far. `question` is the text of the last message by the user, if there is one.

    It stands as it was sent: a text of megabytes is not written anew for whoever looks.
    """

    question: Annotated[Opaque, Meta(extra_json_schema=QUESTION)] = None

    text: str
    reasoning: str
    tool_calls: list[FoldedToolCall]


class ListedStream(Summary, frozen=True, kw_only=True):
    """A stream in a list. `question` is as in a `Snapshot`, where there is one that is short."""

    question: Annotated[Opaque, Meta(extra_json_schema=LISTED_QUESTION)] = UNSET


class Fold:
    """The content of a log so far; its entries are added in order, a page at a time.

    `pieces` counts the content events, empty texts excepted.
    """

    def __init__(self) -> None:
        self.last: Entry | None = None
        self.pieces = 0
        self._rest: Entry | None = None
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, list[ToolCall]] = {}

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    @property
    def tool_calls(self) -> list[FoldedToolCall]:
        """Each call with its fragments joined, in the order of their indexes."""
        return [_join(self._calls[index]) for index in sorted(self._calls)]

    def add(self, entries: Iterable[Entry]) -> None:
        """Adds the next entries."""
        for entry in entries:
            event = entry.event
            self.pieces += isinstance(event, Reasoning | ToolCall) or (isinstance(event, Delta) and event.text != "")
            if isinstance(event, Delta):
                self._text.append(event.text)
            elif isinstance(event, Reasoning):
                self._reasoning.append(event.text)
            elif isinstance(event, ToolCall):
                self._calls.setdefault(event.index, []).append(event)
            self.last = entry
            if not isinstance(event, TERMINAL_TYPES):
                self._rest = entry

    @property
    def rest(self) -> Cursor:
        """The position after the last entry but the terminal event: a reader that continues there is sent the end."""
        assert self._rest is not None, "a stream begins with `started`"
        return self._rest.cursor


def status_of(end: Terminal | None, *, running: bool) -> Status:
    """A stream's status, from its terminal event or, while there is none, from whether a provider has been asked."""
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
