"""The query of a URL: parsed before anybody knows who is calling. Pure."""

from __future__ import annotations

from urllib.parse import parse_qsl

from tidegate.errors import InvalidValue

MAX_PARAMETERS = 100
"""No call has ten; 64 KB of them take the loop 50 ms."""


def parameters(query: bytes) -> list[tuple[str, str]]:
    """The names and values, in order. Raises `InvalidValue` where there are too many."""
    try:
        return parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise InvalidValue(f"the query has more than {MAX_PARAMETERS} parameters") from None
