from __future__ import annotations

import msgspec

from tidegate.core.events import Carried, Completed, GenerationRequest, Message, Usage
from tidegate.providers.openai.continuation import FIELDS, carried_on, nothing_left, whole_usage

ASKED = GenerationRequest(model="m", messages=(Message(role="user", content="hi"),), max_tokens=10)


def carried(**changes: object) -> GenerationRequest:
    fields = {name: getattr(ASKED, name) for name in ASKED.__struct_fields__}
    return GenerationRequest(**{**fields, "carried": Carried("so far", 4), **changes})  # type: ignore[arg-type]


def test_a_new_answer_is_asked_for_as_it_was() -> None:
    """Nothing is added where nothing has been said yet."""
    assert carried_on(ASKED) is ASKED
    empty = carried(carried=Carried("", 0))
    assert carried_on(empty) is empty


def test_the_text_so_far_is_a_partial_answer() -> None:
    """It is the last message, open at its end, and what it took of the limit is taken off."""
    going_on = carried_on(carried(extra={"tools": [], "max_completion_tokens": 10}))
    assert going_on.messages[-1] == Message(role="assistant", content="so far")
    assert going_on.extra == {"tools": [], "max_completion_tokens": 6, **FIELDS}
    assert going_on.max_tokens == 6


def test_messages_as_they_were_sent_are_gone_on_with_too() -> None:
    """Those are what an upstream is sent where they have fields of its own."""
    raw = ({"role": "user", "content": "hi", "custom": 1},)
    sent = msgspec.json.encode(carried_on(carried(raw_messages=raw)).raw_messages)
    assert msgspec.json.decode(sent) == [*raw, {"role": "assistant", "content": "so far"}]


def test_an_answer_at_its_limit_is_over() -> None:
    """A limit of nothing is not asked for: some servers take it for none."""
    end = nothing_left(carried_on(carried(max_tokens=4)))
    assert end == Completed("length", Usage(0, 4, 4, estimated=True))
    assert nothing_left(carried_on(carried())) is None
    assert nothing_left(ASKED) is None


def test_usage_is_that_of_the_whole_answer() -> None:
    """The second request's prompt held the first part: it is counted once, as completion."""
    assert whole_usage(carried(), Usage(14, 6, 20)) == Usage(10, 10, 20, estimated=True)
    assert whole_usage(ASKED, Usage(14, 6, 20)) == Usage(14, 6, 20)
