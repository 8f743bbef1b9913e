"""JSON from outside, as far as it can be understood."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.lenient_json import as_list, as_object, count, dumps, loads, mended, whole_characters


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        (b'{"a": NaN, "b": Infinity, "c": -Infinity}', {"a": None, "b": None, "c": -9999.0}),
        (b'"a\tb"', "a\tb"),
        (b'"caf\xe9"', "caf\ufffd"),
        (b'"\\ud83d"', "\ud83d"),
        (b"\xef\xbb\xbf{}", {}),
        (b"1e400", float("inf")),
        (b" {} ", {}),
    ],
)
def test_what_is_not_quite_json_is_read(sent: bytes, value: object) -> None:
    """Servers send all of these."""
    assert loads(sent) == value


def test_no_number_takes_long_or_raises() -> None:
    """Digits beyond those of a count are only about as much."""
    assert loads(b"[" + b"9" * 100_000 + b", 1]") == [float("inf"), 1]


@pytest.mark.parametrize("sent", [b"", b"{", b"no", b'{"a": undefined}', b"{} {}"])
def test_what_nobody_could_read_is_an_error(sent: bytes) -> None:
    """Guessing stops where something may have been meant that was lost."""
    with pytest.raises(json.JSONDecodeError):
        loads(sent)


@given(
    st.recursive(
        st.none() | st.integers() | st.floats() | st.text(st.characters()),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_what_was_read_can_be_written(value: object) -> None:
    """Whatever came in goes out as JSON that every reader takes."""
    json.loads(dumps(loads(json.dumps(value).encode())).decode())


@pytest.mark.parametrize(
    ("value", "counted"),
    [
        *[(7, 7), (7.0, 7), ("7", 7), (0, 0), (7.9, 7)],
        *[
            (value, None)
            for value in (None, True, -1, -0.5, "x", "-7", "٧", [], 2**53, 10**400, float("nan"), float("inf"))
        ],
        ("9" * 30, None),
    ],
)
def test_a_count_is_one_however_it_is_written(value: object, counted: int | None) -> None:
    """Floats and texts count; what is no count is none."""
    assert count(value) == counted


def test_the_halves_of_a_character_find_each_other() -> None:
    """The last one waits for what comes; one that stands alone is shown as lost."""
    assert whole_characters("a\ud83d") == ("a", "\ud83d")
    assert whole_characters("\ud83d\ude00") == ("\U0001f600", "")
    assert whole_characters("\ude00b\ud83dc") == ("\ufffdb\ufffdc", "")
    assert mended("\ud83d") == "\ufffd"


def test_other_types_are_empty_ones() -> None:
    """What is no object has no fields, what is no array no items."""
    assert (as_object([1]), as_object({"a": 1}), as_list({"a": 1}), as_list([1])) == ({}, {"a": 1}, (), [1])


def test_texts_of_too_many_values_are_not_read() -> None:
    """Objects take a hundred times the bytes that they are written in; prose of any size is one value."""
    for value in (b"[],", b'"",', b"{},", b"1,", b'[",",'):
        with pytest.raises(ValueError, match="more than 50000 values"):
            loads(b"[" + value * 60_000 + b"1]")
    prose = 'she said: "well, {[yes]}, \\ " ' * 60_000
    assert loads(dumps({"text": prose})) == {"text": prose}
