"""Fields of an upstream that hold until they change, and are emitted only then. Pure.

They are kept as JSON, not as objects, and their size is limited, since the log holds them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.core import lenient_json
from tidegate.errors import UpstreamMalformed

MAX_LASTING_BYTES = 1024 * 1024
"""The most that is kept for one answer: a fingerprint has some bytes, a search's citations tens of thousands."""


class Lasting:
    """Keeps the last value of each field."""

    def __init__(self) -> None:
        self._said: dict[str, bytes] = {}
        self._size = 0

    def news(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields whose values have changed. Raises `UpstreamMalformed` where they are too large in all."""
        news: dict[str, Any] = {}
        for name, value in fields.items():
            said, before = lenient_json.dumps(value), self._said.get(name)
            if said != before:
                news[name] = value
                self._said[name] = said
                self._size += len(said) - len(before or b"") + (len(name) if before is None else 0)
        if self._size > MAX_LASTING_BYTES:
            raise UpstreamMalformed(f"The upstream says more than {MAX_LASTING_BYTES} bytes beside its answer.")
        return news

    def holds(self, fields: Mapping[str, Any]) -> bool:
        """Whether all these fields are known with these values."""
        return all(self._said.get(name) == lenient_json.dumps(value) for name, value in fields.items())
