"""Errors out of a log, which keeps their type, code and message."""

from __future__ import annotations

import builtins

from tidegate.errors import TidegateError


def recall(type: str, code: str, message: str) -> TidegateError:
    """The error that a log kept as type, code and message. One of an upstream's own counts as 502."""
    error = TidegateError(message)
    error.type = type
    error.code = code
    error.status = _statuses(TidegateError).get(code, 502)
    return error


def _statuses(kind: builtins.type[TidegateError]) -> dict[str, int]:
    statuses = {kind.code: kind.status}
    for narrower in kind.__subclasses__():
        statuses |= _statuses(narrower)
    return statuses
