"""What holds for every dialect."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.batching import merge
from tidegate.core.cursor import Cursor
from tidegate.core.events import Completed, Delta, Event, Extra, Reasoning, Started, ToolCall, Usage
from tidegate.core.log import Entry
from tidegate.core.notices import Gap
from tidegate.dialects.base import CursorSearch, Dialect
from tidegate.dialects.native_events import EVENTS, MESSAGES
from tidegate.dialects.native_socket import CODECS
from tidegate.dialects.native_socket_events import SocketEvents
from tidegate.dialects.openai_chat_chunks import ChatChunks

SOCKETS = [SocketEvents("stream", "gen_1", codec) for codec in CODECS.values()]
DIALECTS: list[Dialect[Any]] = [EVENTS, MESSAGES, *SOCKETS, ChatChunks(include_usage=True)]


def raw(fields: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(fields))


said = st.sampled_from(
    [
        Delta("a"),
        Delta("é"),
        Delta("b", Extra(chunk=raw({"system_fingerprint": "fp"}))),
        Reasoning("hm"),
        ToolCall(0, "call_1", "f", "", Extra(call=raw({"type": "function_call"}))),
        ToolCall(0, arguments="{}"),
        ToolCall(1, "call_2", "sh", "l", Extra(call=raw({"type": "custom"}))),
        ToolCall(1, arguments="s"),
    ]
)
END = Completed("tool_calls", Usage(1, 1, 2))


def logged(*events: Event) -> list[Entry]:
    return [Entry.of("aaaa", index + 1, event) for index, event in enumerate(events)]


logs = st.lists(said, max_size=12).map(lambda events: logged(Started("gen_1", "m", 1.0), *events, END))


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: type(dialect).__name__)
@given(log=logs, at=st.integers(0, 14))
def test_a_state_does_not_know_what_was_merged(dialect: Dialect[Any], log: list[Entry], at: int) -> None:
    """Skipped, encoded or merged: the state is the same, and so are the bytes of what follows."""
    states = [dialect.begin() for _ in range(4)]
    dialect.skip(states[0], log[:at])
    dialect.encode(states[1], log[:at], merge=False)
    dialect.encode(states[2], log[:at], merge=True)
    states[3] = dialect.fork(states[0])
    assert states == [states[0]] * 4
    assert len({dialect.encode(state, log[at:], merge=True) for state in states[:3]}) == 1
    assert states[:3] == [states[0]] * 3
    dialect.encode(states[3], log[at:], merge=False)
    assert states[3] == states[0]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: type(dialect).__name__)
@given(log=logs)
def test_what_is_merged_is_encoded_as_if_it_had_come_so(dialect: Dialect[Any], log: list[Entry]) -> None:
    """Neighbouring texts are one event, at the position of the last of them."""
    merged = dialect.encode(dialect.begin(), log, merge=True)
    assert merged == dialect.encode(dialect.begin(), merge(log), merge=False)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: type(dialect).__name__)
def test_a_gap_leads_to_the_beginning(dialect: Dialect[Any]) -> None:
    """After it the log begins anew, and so does what a dialect remembers."""
    state = dialect.begin()
    dialect.skip(state, logged(Started("gen_1", "m", 1.0), Delta("b", Extra(chunk=raw({"service_tier": "x"})))))
    assert dialect.notice(state, Gap(Cursor("zzzz", 3), Cursor("aaaa", 0)))
    assert state == dialect.begin()


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: type(dialect).__name__)
@given(log=logs, offset=st.integers(0, 14), size=st.integers(1, 5))
def test_the_state_at_a_cursor_is_found_page_by_page(
    dialect: Dialect[Any], log: list[Entry], offset: int, size: int
) -> None:
    """However the log is cut: it is that of a reader which has been sent everything up to there."""
    offset = min(offset, len(log))
    search, state = CursorSearch(dialect, Cursor("aaaa", offset)), dialect.begin()
    found = next(found for at in range(0, len(log), size) if (found := search.go_on(log[at : at + size])))
    dialect.encode(state, log[:offset], merge=False)
    assert found == (Cursor("aaaa", offset), state)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: type(dialect).__name__)
def test_equal_options_make_equal_dialects(dialect: Dialect[Any]) -> None:
    """A broadcast is found by its dialect; one that remembers nothing has no state."""
    assert hash(dialect) == hash(dialect)
    assert dialect.remembers or dialect.begin() is None
    assert ChatChunks(include_usage=True) == ChatChunks(include_usage=True) != ChatChunks(include_usage=False)
