from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.json_text import MAX_DEPTH
from tidegate.core.steps import finished
from tidegate.core.topic import (
    AROUND_BYTES,
    SERVER_EVENTS,
    check_size,
    check_type,
    is_topic,
    json_data,
    topic_id,
    topic_name,
)
from tidegate.errors import BodyTooLarge, InvalidValue


@pytest.mark.parametrize("name", ["a", "_", "room-1.b:c", "0" * 128])
def test_a_name_is_an_id_and_back(name: str) -> None:
    """Every topic has an id of its own, which no generation has."""
    topic = topic_id(name)
    assert is_topic(topic)
    assert topic_name(topic) == name


@pytest.mark.parametrize("name", ["", "-a", ".a", ":a", "a b", "a/b", "ä", "a\n", "0" * 129])
def test_what_is_no_name_is_refused(name: str) -> None:
    """The error names the topic, and nothing is made."""
    with pytest.raises(InvalidValue) as caught:
        topic_id(name)
    assert caught.value.param == "topic"


def test_a_generation_is_no_topic() -> None:
    """Ids of generations are told from those of topics by themselves."""
    assert not is_topic("gen_topic:1")


@pytest.mark.parametrize("type", ["message", "move", "a.b:c-d_E", "x" * 64, "deltas"])
def test_a_client_names_its_events(type: str) -> None:
    """Short names without spaces are all fine."""
    check_type(type)


@pytest.mark.parametrize("type", ["", "a b", "a\nid: 1", "ä", "x" * 65, *sorted(SERVER_EVENTS)])
def test_a_client_cannot_speak_for_the_server(type: str) -> None:
    """No published event is called what the server's own are, or breaks out of its line."""
    with pytest.raises(InvalidValue) as caught:
        check_type(type)
    assert caught.value.param == "type"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (b' {"a":\r\n [1, 2]}\n', b'{"a":[1,2]}'),
        (b"1.0000000000000000000001", b"1.0000000000000000000001"),
        (b"123456789012345678901234567890", b"123456789012345678901234567890"),
        ('"ä\\n\u2028"'.encode(), '"ä\\n\u2028"'.encode()),
        (b"null", b"null"),
    ],
)
def test_data_is_kept_on_one_line_as_it_was_written(text: bytes, kept: bytes) -> None:
    """Line breaks between tokens would end an SSE field; numbers lose no digit."""
    assert bytes(finished(json_data(text))) == kept
    assert bytes(finished(json_data(msgspec.Raw(text)))) == kept


@pytest.mark.parametrize(
    "text", [b"", b"{", b"1 2", b"NaN", b'"a\nb"', b'"\xff"', b'"\\ud800"', b"1e400", b"[" * 10**5 + b"]" * 10**5]
)
def test_data_that_some_reader_could_not_read_is_refused(text: bytes) -> None:
    """One client's broken value does not break all that read the topic."""
    with pytest.raises(InvalidValue) as caught:
        finished(json_data(text))
    assert caught.value.param == "data"


def test_data_may_be_so_deep_and_no_deeper() -> None:
    """Many brackets side by side are not deep; too many within each other are, lists or objects."""
    finished(json_data(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH))
    finished(json_data(b"[" + b",".join([b"[]"] * 1000) + b"]"))
    deeper = MAX_DEPTH + 1
    for text in (b"[" * deeper + b"]" * deeper, b'{"a":' * deeper + b"1" + b"}" * deeper):
        with pytest.raises(InvalidValue):
            finished(json_data(text))


@given(st.binary(max_size=30) | st.text().map(str.encode))
def test_data_is_refused_or_on_one_line(text: bytes) -> None:
    """Whatever is sent, what is kept is JSON without a line break, or nothing."""
    try:
        kept = bytes(finished(json_data(text)))
    except InvalidValue:
        return
    assert b"\n" not in kept
    assert b"\r" not in kept
    assert msgspec.json.decode(kept) == msgspec.json.decode(text)


@pytest.mark.parametrize("data", [b'"' + b"x" * 998 + b'"', b"[" + b"0.5," * 100 + b"0]", b"[" + b"9," * 490 + b"9]"])
def test_no_message_is_larger_than_a_websocket_takes(data: bytes) -> None:
    """As JSON or as MessagePack, whichever is the larger one; what just fits is taken."""
    packed = max(len(data), len(msgspec.msgpack.encode(msgspec.json.decode(data))))
    check_size(msgspec.Raw(data), 100, packed + 100 + AROUND_BYTES)
    with pytest.raises(BodyTooLarge) as refused:
        check_size(msgspec.Raw(data), 100, packed + 99 + AROUND_BYTES)
    assert refused.value.param == "data"
