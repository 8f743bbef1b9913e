from __future__ import annotations

from tidegate.core.cursor import Cursor
from tidegate.core.events import (
    Cancelled,
    Completed,
    Delta,
    ErrorInfo,
    Event,
    Failed,
    Reasoning,
    Started,
    ToolCall,
    Usage,
)
from tidegate.core.fold import Fold, FoldedToolCall, status_of
from tidegate.core.log import Entry

USAGE = Usage(1, 2, 3)


def folded_of(*events: Event) -> Fold:
    folded = Fold()
    for index, event in enumerate(events):
        folded.add([Entry.of("aaaa", index + 1, event)])
    return folded


def test_pieces_are_joined_in_order() -> None:
    """The text of a snapshot is what a reader of every delta has."""
    folded = folded_of(Started("gen_1", "m", 1.0), Delta("Hel"), Reasoning("hm"), Delta("lo"))
    assert (folded.text, folded.reasoning) == ("Hello", "hm")
    assert folded.last is not None
    assert folded.last.cursor == Cursor("aaaa", 4)


def test_tool_calls_are_joined_by_index() -> None:
    """Interleaved fragments of several calls end up with their own call."""
    folded = folded_of(
        ToolCall(1, "b", "two", "{"),
        ToolCall(0, "a", "one", '{"x"'),
        ToolCall(0, arguments=":1}"),
        ToolCall(1, arguments="}"),
    )
    assert folded.tool_calls == [FoldedToolCall(0, "a", "one", '{"x":1}'), FoldedToolCall(1, "b", "two", "{}")]


def test_nothing_folds_to_nothing() -> None:
    """An empty log is an empty answer without a position."""
    folded = folded_of()
    assert (folded.text, folded.reasoning, folded.tool_calls, folded.last) == ("", "", [], None)


def test_the_end_decides_the_status() -> None:
    """A stream is queued, then running, then what its terminal event says."""
    assert status_of(None, running=False) == "queued"
    assert status_of(None, running=True) == "running"
    assert status_of(Completed("stop", USAGE), running=True) == "completed"
    assert status_of(Cancelled("client", None, USAGE), running=False) == "cancelled"
    assert status_of(Failed(ErrorInfo("a", "b", "c"), USAGE), running=True) == "failed"
