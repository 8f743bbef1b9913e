"""Letting go of what an error has seen."""

from __future__ import annotations

MOST = 100
"""Errors that follow from each other; nobody makes so many."""


def forget(error: BaseException, *, until: BaseException | None = None) -> None:
    """Whoever has dealt with an error drops the frames that it came through, and those of its causes, but not those of
    `until`, which somebody else was dealing with already.

    A frame that has a name for an error keeps it, and is kept by it: with them a request of megabytes would wait for
    the collector of garbage, which counts objects and not bytes.
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
