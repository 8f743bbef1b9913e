from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.json_text import MAX_DEPTH, MAX_DIGITS, fault, has_long_number, is_deep

VALUES = st.recursive(
    st.none() | st.integers() | st.text(alphabet='[]{}"\\a'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[{"\\'), inner, max_size=3),
    max_leaves=20,
)


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(VALUES, st.integers(0, 6), st.booleans())
def test_how_deep_json_is(value: object, depth: int, spaced: bool) -> None:
    """Lists and objects count, however they are written; brackets in texts do not."""
    text = json.dumps(value, indent=1 if spaced else None).encode()
    assert is_deep(text, depth) is (depth_of(value) > depth)


def test_a_hundred_levels() -> None:
    """JSON may be 100 deep, and no deeper, however much of it stands side by side."""
    assert not is_deep(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert is_deep(b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1))
    assert not is_deep(b"[" + b"[],{}," * 100_000 + b"[]]")


def test_numbers_that_no_double_holds() -> None:
    """A whole number that JavaScript would read as infinity is found, and digits of a fraction or a text are none."""
    long = b"9" * (MAX_DIGITS + 1)
    assert has_long_number(b"[-" + long + b"]")
    assert not has_long_number(b"1" * MAX_DIGITS)
    assert not has_long_number(b'["' + long + b'", 0.' + long + b"]")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'"\\ud83d"', "`\\ud83d` is a lone surrogate"),
        (b'"\\uDC00 x"', "`\\uDC00` is a lone surrogate"),
        (b'"\\ud83d\\u0041"', "`\\ud83d` is a lone surrogate"),
        (b'"\\ud83d\\ude00\\ud83d"', "`\\ud83d` is a lone surrogate"),
        (b'"\xed\xa0\xbd"', "a lone surrogate, half of a pair, as bytes"),
        (b'"\xe9"', "'utf-8' codec"),
        (b'["\\\\ud83d", 01]', "invalid number"),
        (b'"\\u12', "truncated"),
    ],
)
def test_what_is_wrong_is_said(text: bytes, words: str) -> None:
    """A lone surrogate is called one; of the rest the decoder's words are told."""
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)) as caught:
        msgspec.json.decode(text)
    assert words in fault(caught.value, text)
