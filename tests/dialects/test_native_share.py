from __future__ import annotations

import pytest

from tidegate.dialects.native_share import parse
from tidegate.errors import InvalidJson, InvalidValue, TidegateError, UnknownField


@pytest.mark.parametrize("body", [b"", b" \n", b"{}", b'{"ttl_seconds": 86400}'])
def test_a_share_is_for_a_day_unless_it_says_otherwise(body: bytes) -> None:
    """The body is optional, and so is what stands in it."""
    assert parse(body).ttl_seconds == 86400


@pytest.mark.parametrize("seconds", [1, 3600, 31_536_000])
def test_a_share_is_for_a_second_to_a_year(seconds: int) -> None:
    """Whoever shares says for how long."""
    assert parse(b'{"ttl_seconds": %d}' % seconds).ttl_seconds == seconds


@pytest.mark.parametrize(
    ("body", "kind", "param"),
    [
        (b'{"ttl_seconds": 0}', InvalidValue, "ttl_seconds"),
        (b'{"ttl_seconds": 1.5}', InvalidValue, "ttl_seconds"),
        (b'{"ttl_seconds": -3600}', InvalidValue, "ttl_seconds"),
        (b'{"ttl_seconds": 31536001}', InvalidValue, "ttl_seconds"),
        (b'{"ttl_seconds": "3600"}', InvalidValue, "ttl_seconds"),
        (b'{"ttl_seconds": true}', InvalidValue, "ttl_seconds"),
        (b'{"ttl_seconds": null}', InvalidValue, "ttl_seconds"),
        (b'{"ttl": 3600}', UnknownField, "ttl"),
        (b"[]", InvalidValue, None),
        (b'{"ttl_seconds": 1e999}', InvalidValue, "ttl_seconds"),
        (b'{"ttl_seconds": NaN}', InvalidJson, None),
        (b"{", InvalidJson, None),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(body: bytes, kind: type[TidegateError], param: str) -> None:
    """A share that is not understood is never made for some other time."""
    with pytest.raises(TidegateError) as caught:
        parse(body)
    assert (type(caught.value), caught.value.param) == (kind, param)
