"""How a stream has ended, in words. Pure; reads patiently what a server has sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.client.words import as_table

NOT_PLAIN = {
    "length": "the answer was cut at the limit of tokens",
    "content_filter": "the answer was cut by a content filter",
}
"""The reasons for which a completed answer may be less than was asked for."""

LOST = "some of it was lost on the way; here is the whole"


def text_in(data: Mapping[str, Any], name: str) -> str:
    """The member if it is a text, else an empty one."""
    value = data.get(name)
    return value if isinstance(value, str) else ""


def failed(data: Mapping[str, Any]) -> str:
    """Why a stream has failed."""
    return f"failed: {text_in(as_table(data.get('error')), 'message') or 'no reason given'}"


def cancelled(data: Mapping[str, Any]) -> str:
    """By whom a stream was cancelled, and why."""
    said, reason = f"cancelled by {text_in(data, 'by') or 'somebody'}", text_in(data, "reason")
    return f"{said}: {reason}" if reason else said


def tokens(data: Mapping[str, Any]) -> int | None:
    """How many tokens the answer has, where the server has counted them."""
    count = as_table(data.get("usage")).get("completion_tokens")
    return count if isinstance(count, int) else None


def is_estimated(data: Mapping[str, Any]) -> bool:
    """Whether the tokens were estimated, since the model does not count them."""
    return as_table(data.get("usage")).get("estimated") is True
