from __future__ import annotations

import json
from typing import Any

import pytest

from tidegate.core.events import Cancelled, Completed, Delta, Failed, Reasoning, ToolCall
from tidegate.core.steps import finished
from tidegate.dialects.native_producer import parse_append
from tidegate.errors import InvalidValue, TidegateError, UnknownField

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "estimated": True}
WHOLE: dict[str, dict[str, Any]] = {
    "delta": {"text": "x"},
    "reasoning": {"text": "x"},
    "tool_call": {"index": 0, "id": "c", "name": "f", "arguments": "{}"},
    "completed": {"finish_reason": "stop", "usage": USAGE},
    "cancelled": {"by": "client", "reason": None, "usage": USAGE},
    "failed": {"error": {"type": "t", "code": "c", "message": "m"}, "usage": USAGE},
}
KINDS = (Delta, Reasoning, ToolCall, Completed, Cancelled, Failed)


def appended(type: str, data: dict[str, Any]) -> Any:
    events = [{"type": "delta", "data": {"text": "first"}}, {"type": type, "data": data}]
    return finished(parse_append(json.dumps({"lease": "l", "expected_offset": 1, "events": events}).encode()))[1][1]


@pytest.mark.parametrize("type", WHOLE)
def test_events_as_readers_get_them(type: str) -> None:
    """What a reader gets of an event can be appended as it is."""
    assert isinstance(appended(type, WHOLE[type]), KINDS)


@pytest.mark.parametrize("type", WHOLE)
def test_unknown_fields_in_an_event_are_errors(type: str) -> None:
    """A field that no reader would get is refused, and named, however deep it stands."""
    with pytest.raises(UnknownField) as caught:
        appended(type, {**WHOLE[type], "x": 1})
    assert caught.value.param == "events.1.data.x"


@pytest.mark.parametrize(("type", "inner"), [("completed", "usage"), ("failed", "usage"), ("failed", "error")])
def test_unknown_fields_within_a_field(type: str, inner: str) -> None:
    """So is one within the usage or the error."""
    data = {**WHOLE[type], inner: {**WHOLE[type][inner], "y" * 1000: 1}}
    with pytest.raises(UnknownField) as caught:
        appended(type, data)
    assert (caught.value.param or "").startswith(f"events.1.data.{inner}.yyy")
    assert len(str(caught.value.param)) < 300


@pytest.mark.parametrize(
    ("type", "data"), [("delta", {"text": 5}), ("completed", {"finish_reason": "x"}), ("failed", {"error": "x"})]
)
def test_values_of_the_wrong_kind(type: str, data: dict[str, Any]) -> None:
    """A field of the wrong type is named, too."""
    with pytest.raises(InvalidValue) as caught:
        appended(type, data)
    assert (caught.value.param or "").startswith("events.1.data.")


def test_an_event_beside_its_data() -> None:
    """An event has a type and data, and nothing else."""
    body = b'{"lease": "l", "expected_offset": 1, "events": [{"type": "delta", "data": {"text": "x"}, "id": 1}]}'
    with pytest.raises(TidegateError) as caught:
        finished(parse_append(body))
    assert caught.value.param == "events.0.id"
