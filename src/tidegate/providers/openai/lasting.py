"""What an upstream says that holds until it says something else: told where it changes. Pure.

It is kept as JSON, not as objects, and there is only so much of it: readers have all of it in their log.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.core import lenient_json
from tidegate.errors import UpstreamMalformed

MAX_LASTING_BYTES = 1024 * 1024
"""Of one answer, at any time: a fingerprint has some bytes, the citations of a search some tens of thousands."""


class Lasting:
    """The fields of one place, each as it was said last."""

    def __init__(self) -> None:
        self._said: dict[str, bytes] = {}
        self._size = 0

    def news(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Those that are not as they were said before. Raises `UpstreamMalformed` where there is too much of them."""
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
        """Whether all of them were said, and are as they were."""
        return all(self._said.get(name) == lenient_json.dumps(value) for name, value in fields.items())
