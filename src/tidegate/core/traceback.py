"""Frees the frames that a handled error keeps in memory."""

from __future__ import annotations

MOST = 100
"""Errors of one chain that are freed; no chain is that long."""


def forget(error: BaseException, *, until: BaseException | None = None) -> None:
    """Drops the traceback of an error that was handled, and those of its causes, but not that of `until`, which a
    caller is still handling.

    A frame with a variable for the error and the error's traceback keep each other: a request of megabytes would stay
    in memory until the garbage collector runs, which counts objects and not bytes.
    """
    left: list[BaseException] = [error]
    for _ in range(MOST):
        if not left:
            return
        each = left.pop()
        if each is until:
            continue
        each.__traceback__ = None
        left += [other for other in (each.__context__, each.__cause__) if other is not None and other.__traceback__]
