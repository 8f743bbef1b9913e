from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.events import GenerationRequest, Message
from tidegate.core.opaque import EXACT_BYTES, Members, characters


def test_what_a_message_is_given_is_kept_as_json() -> None:
    """A provider asks for values, and gets them; nothing is held but their bytes."""
    parts = [{"type": "text", "text": "a\n"}, {"type": "image_url"}, {"type": "text", "text": "ü"}, {"text": 5}]
    message = Message(role="user", content=parts, tool_calls=[{"id": "c"}], audio=None)
    assert (message.content, message.tool_calls, message.audio, message.text) == (parts, [{"id": "c"}], None, "a\nü")
    assert json.loads(msgspec.json.encode(message)) == {"role": "user", "content": parts, "tool_calls": [{"id": "c"}]}
    assert Message(role="user", content="x") == Message(role="user", content=msgspec.Raw(b'"x"'))


def test_null_is_nothing() -> None:
    """An assistant's `content` may be null beside its calls: it is left out, however it was given."""
    for nothing in ({"content": None}, {"content": msgspec.Raw(b"null")}, {}):
        message = Message(role="assistant", **nothing)
        assert (message.content, message.text) == (None, "")
        assert msgspec.json.encode(message) == b'{"role":"assistant"}'


def test_extra_is_a_mapping_whose_members_are_decoded_when_they_are_asked_for() -> None:
    """Providers look at it as at any other mapping; those that pass it on have its JSON."""
    request = GenerationRequest(model="m", messages=(), extra={"a": [1], "b": msgspec.Raw(b'{"x": null}')})
    assert request.extra == {"a": [1], "b": {"x": None}}
    assert isinstance(request.extra, Members)
    assert (request.extra["a"], request.extra.get("c"), "b" in request.extra) == ([1], None, True)
    assert bytes(request.extra.raw["b"]) == b'{"x": null}'


def test_a_request_that_an_earlier_version_has_kept_is_read() -> None:
    """Its JSON is the same: what was a value is a value."""
    kept = (
        b'{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"raw_messages":[{"role":'
        b'"user","content":"hi","x":1}],"stop":[],"metadata":{},"extra":{"tools":[{"a":1}],"seed":null},"carried":null}'
    )
    request = msgspec.json.decode(kept, type=GenerationRequest)
    assert (request.question, request.extra) == ("hi", {"tools": [{"a": 1}], "seed": None})
    again = msgspec.json.decode(msgspec.json.encode(request), type=GenerationRequest)
    assert (again, again.extra) == (request, request.extra)


@given(st.text(max_size=50), st.booleans())
def test_the_characters_of_a_text(text: str, ascii: bool) -> None:
    """Escapes are no characters."""
    assert characters(msgspec.Raw(json.dumps(text, ensure_ascii=ascii).encode())) == len(text)


@pytest.mark.parametrize("ascii", [True, False])
@pytest.mark.parametrize("piece", ["word ", "中文", "é", 'a\n"'])
def test_those_of_a_long_text_are_estimated(piece: str, ascii: bool) -> None:
    """A few in a hundred more or less, whatever they are written in."""
    text = piece * (3 * EXACT_BYTES)
    found = characters(msgspec.Raw(json.dumps(text, ensure_ascii=ascii).encode()))
    assert abs(found - len(text)) < len(text) / 20
