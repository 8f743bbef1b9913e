"""The head of an answer, and what a client reads from it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tidegate.core.backoff import MAX_FLOOR

TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of a server, or a proxy in front of it, after which a retry may succeed."""

MAX_DIGITS = 9


class Head(NamedTuple):
    """An answer's status and header fields, their names in lower case."""

    status: int
    fields: Mapping[str, str]

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def may_pass(self) -> bool:
        """Whether another try may be answered otherwise."""
        return self.status in TRANSIENT_STATUSES and self.fields.get("x-should-retry") != "false"

    @property
    def retry_after(self) -> float:
        """The seconds that the server wants to be left alone, 0 where it does not say, or says a date."""
        told = self.fields.get("retry-after-ms")
        seconds = _number(self.fields.get("retry-after", "")) if told is None else _number(told) / 1000
        return min(seconds, MAX_FLOOR)

    @property
    def is_event_stream(self) -> bool:
        return self.fields.get("content-type", "").partition(";")[0].strip().lower() == "text/event-stream"

    @property
    def is_compressed(self) -> bool:
        """Whether the body is compressed, although nobody asked for it."""
        return self.fields.get("content-encoding", "identity").strip().lower() != "identity"

    @property
    def has_events(self) -> bool:
        """Whether events follow, which can be read as they come."""
        return self.status == 200 and self.is_event_stream and not self.is_compressed


def _number(text: str) -> float:
    """The digits as a number; dates (RFC 9110, 10.2.3) are not worth parsing here."""
    return float(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else 0.0
