from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.json_shape import LONGEST_NUMBER, MAX_DIGITS, SLOW_VALUES, Shape, has_more_values, scan
from tidegate.core.json_text import MAX_DEPTH
from tidegate.core.steps import SLICE, finished

VALUES = st.recursive(
    st.none() | st.integers() | st.text(alphabet='[]{}"\\a'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='[{"\\'), inner, max_size=3),
    max_leaves=20,
)


def shape_of(text: bytes) -> Shape:
    return finished(scan(text))


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(VALUES, st.booleans())
def test_how_deep_json_is(value: object, spaced: bool) -> None:
    """Lists and objects count, however they are written; brackets in texts do not."""
    text = json.dumps(value, indent=1 if spaced else None).encode()
    assert shape_of(text).deepest == depth_of(value)


def test_what_is_deep() -> None:
    """What stands side by side is not deep, however much of it there is; what is too deep to be counted is."""
    assert shape_of(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH).deepest == MAX_DEPTH
    assert shape_of(b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1)).deepest == MAX_DEPTH + 1
    assert shape_of(b"[" + b"[],{}," * 100_000 + b"[]]").deepest == 2
    assert shape_of(b"[" * 1_000_000).deepest > MAX_DEPTH


def test_numbers_that_no_double_holds() -> None:
    """A whole number that JavaScript would read as infinity is found, and digits of a fraction or a text are none."""
    long = b"9" * (MAX_DIGITS + 1)
    assert shape_of(b"[-" + long + b"]").vast
    assert not shape_of(b"1" * MAX_DIGITS).vast
    assert not shape_of(b'["' + long + b'", 0.' + long + b"]").vast
    assert shape_of(b"[1, -2.5E+308]").vast
    assert shape_of(b"1e999").vast
    assert not shape_of(b"[1e308, 1e-999, 12e300]").vast
    assert shape_of(b"0." + b"1" * 2 * LONGEST_NUMBER).vast


def values_in(value: object) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + sum(map(values_in, value)) if isinstance(value, list) else 1


def commas_at(value: object, depth: int) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return 0
    return max(0, len(value) - 1) if depth == 1 else sum(commas_at(each, depth - 1) for each in value)


def fed(text: bytes, size: int) -> Shape:
    shape = Shape()
    for start in range(0, len(text), size):
        shape.feed(text[start : start + size])
    return shape


@given(VALUES, st.booleans(), st.booleans(), st.integers(1, 50))
def test_every_value_is_counted_once(value: object, spaced: bool, ascii: bool, size: int) -> None:
    """However JSON is written and cut: a comma or a bracket in a text is no value, an escaped quotation mark no end."""
    text = json.dumps(value, indent=1 if spaced else None, ensure_ascii=ascii).encode()
    shape = fed(text, size)
    assert (shape.values, shape.deepest, shape.vast) == (values_in(value), depth_of(value), False)
    assert [shape.commas(depth) for depth in (1, 2, 3)] == [commas_at(value, depth) for depth in (1, 2, 3)]


@given(st.binary(max_size=100) | st.text(alphabet='[]{},:"\\ 1e').map(str.encode), st.integers(1, 10))
def test_what_is_no_json_does_no_harm(text: bytes, size: int) -> None:
    """Whatever is fed, there is a shape."""
    fed(text, size)


# What closes more than was opened is not looked at any further.
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="]}")), st.integers(0, 10))
def test_utf8_is_looked_at_across_slices(text: str, cut: int) -> None:
    """A character that two slices share is whole; one that breaks off is not."""
    whole = b" " * (SLICE - cut) + text.encode()
    finished(scan(whole))
    for broken in (b"\xff" + whole, whole + b"\xc3", whole + b"\xed\xa0\xbd"):
        with pytest.raises(UnicodeDecodeError):
            finished(scan(broken))


def test_whether_there_are_more_values() -> None:
    """A list counts, and each of what it holds; what is no UTF-8 is none the less a text."""
    assert not finished(has_more_values(b"[0,0,0]", 4))
    assert finished(has_more_values(b"[0,0,0,0]", 4))
    assert not finished(has_more_values(b'[[],[],"\xff,,,"]', 4))


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_numbers_are_looked_at_across_slices(size: int) -> None:
    """A number that is cut is one number."""
    assert fed(b"[1e400]", size).vast
    assert fed(b"[" + b"9" * (MAX_DIGITS + 1) + b",1]", size).vast
    assert not fed(b"[" + b"9" * MAX_DIGITS + b"," + b"9" * MAX_DIGITS + b"]", size).vast


def test_long_json_is_counted_a_slice_at_a_time() -> None:
    """Whoever counts may do something else in between."""
    text = b"[" + b"0," * SLICE + b"0]"
    assert len(list(scan(text))) == 2
    assert finished(scan(text)).values == SLICE + 2


@pytest.mark.parametrize("number", [b"5e-324", b"1.7976931348623157E308", b"0." + b"1" * 400])
def test_numbers_that_are_slow_to_read_count_for_many(number: bytes) -> None:
    """A float near the end of what there is takes a hundred times as long as another; so do hundreds of digits."""
    assert fed(b"[" + number + b",1.5]", 1000).values == 3 + SLOW_VALUES


def test_usual_floats_count_once() -> None:
    """Probabilities and embeddings are no attack."""
    assert fed(b"[0.12345678901234567,-1.5e-7,1e9,42]", 1000).values == 5
