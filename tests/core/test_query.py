from __future__ import annotations

import pytest

from tidegate.core.query import MAX_PARAMETERS, parameters
from tidegate.errors import InvalidValue


def test_parameters_in_order() -> None:
    """As they were sent, those without a value too."""
    assert parameters(b"a=1&b&a=%20+") == [("a", "1"), ("b", ""), ("a", "  ")]
    assert parameters(b"") == []


def test_so_many_parameters_and_no_more() -> None:
    """Nobody has been asked for credentials yet."""
    assert len(parameters(b"&".join([b"a=1"] * MAX_PARAMETERS))) == MAX_PARAMETERS
    with pytest.raises(InvalidValue, match="100 parameters"):
        parameters(b"&" * 60_000)
