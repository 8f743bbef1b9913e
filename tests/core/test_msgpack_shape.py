from __future__ import annotations

import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.msgpack_shape import has_more_values
from tidegate.core.steps import finished

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=70)
    | st.binary(max_size=70)
    | st.builds(msgspec.msgpack.Ext, st.integers(-128, 127), st.binary(max_size=20))
)
VALUES = st.recursive(
    SCALARS | st.sampled_from([b"x" * 300, "x" * 300, b"x" * 70_000, "x" * 70_000]),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=40), inner, max_size=20),
    max_leaves=40,
)


def count(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + count(inner) for inner in value.values())
    return 1 + sum(map(count, value)) if isinstance(value, list) else 1


@given(VALUES)
def test_every_value_is_counted_once(value: object) -> None:
    """Whatever formats an encoder chooses."""
    message = msgspec.msgpack.encode(value)
    there = count(value)
    assert not finished(has_more_values(message, there))
    assert finished(has_more_values(message, there - 1)) or len(message) < there


def test_long_lists_and_maps() -> None:
    """Those whose length takes two bytes, or four."""
    for values in ([None] * 70_000, dict.fromkeys(map(str, range(70_000)))):
        message = msgspec.msgpack.encode(values)
        assert not finished(has_more_values(message, count(values)))
        assert finished(has_more_values(message, count(values) - 1))


@given(st.binary(max_size=200))
def test_what_is_no_messagepack_does_no_harm(message: bytes) -> None:
    """A length that is not there ends it."""
    finished(has_more_values(message, 10))
    assert not finished(has_more_values(message, math.inf))  # type: ignore[arg-type]
