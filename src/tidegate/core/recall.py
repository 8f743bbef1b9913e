"""Restores errors from what a log has kept of them."""

from __future__ import annotations

from tidegate.errors import TidegateError


def recall(kind: str, code: str, message: str) -> TidegateError:
    """The error that a log has kept as type, code and message. An upstream's own code gets the status 502."""
    error = TidegateError(message)
    error.type = kind
    error.code = code
    error.status = _statuses(TidegateError).get(code, 502)
    return error


def _statuses(kind: type[TidegateError]) -> dict[str, int]:
    statuses = {kind.code: kind.status}
    for narrower in kind.__subclasses__():
        statuses |= _statuses(narrower)
    return statuses
