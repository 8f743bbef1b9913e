"""Collects the token counts of one answer. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec
from msgspec import UNSET

from tidegate.core import lenient_json
from tidegate.core.events import Usage

PROMPT = ("prompt_tokens", "input_tokens")
COMPLETION = ("completion_tokens", "output_tokens")
TOTAL = ("total_tokens",)
COUNTS = frozenset({*PROMPT, *COMPLETION, *TOTAL})


class UsageCount:
    """Merges the usage objects of an answer: the last value of each count and detail stands.

    A null, an empty object or one of zeros does not reset a count.
    """

    def __init__(self) -> None:
        self._prompt: int | None = None
        self._completion: int | None = None
        self._total: int | None = None
        self._details: dict[str, Any] = {}

    @property
    def known(self) -> bool:
        """Whether the upstream has counted the answer's tokens."""
        return self._completion is not None

    def take(self, usage: object) -> bool:
        """Merges a usage object. Returns whether it had any count."""
        if not isinstance(usage, dict):
            return False
        fields = cast("Mapping[str, Any]", usage)
        prompt, completion, total = _first(fields, PROMPT), _first(fields, COMPLETION), _first(fields, TOTAL)
        self._details |= {
            name: value
            for name, value in fields.items()
            if name not in COUNTS and value is not None and value != {} and value != []
        }
        if not (prompt or completion or total):
            return False
        self._prompt = prompt or self._prompt or prompt
        self._completion = completion or self._completion or completion
        self._total = total
        return True

    def usage(self, pieces: int, estimate: Callable[[], int]) -> Usage:
        """The counts; missing ones are derived from the others, or estimated, with a piece counted as a token."""
        prompt, completion, total = self._prompt, self._completion, self._total
        if total is not None:
            prompt = _rest(total, completion) if prompt is None else prompt
            completion = _rest(total, prompt) if completion is None else completion
        estimated = prompt is None or completion is None
        prompt = estimate() if prompt is None else prompt
        completion = pieces if completion is None else completion
        total = prompt + completion if estimated or total is None else total
        return Usage(prompt, completion, total, estimated, self._encoded())

    def _encoded(self) -> Any:
        return msgspec.Raw(lenient_json.dumps(self._details)) if self._details else UNSET


def _first(fields: Mapping[str, Any], names: tuple[str, ...]) -> int | None:
    return next((count for name in names if (count := lenient_json.count(fields.get(name))) is not None), None)


def _rest(total: int, part: int | None) -> int | None:
    return None if part is None else max(0, total - part)
