"""Ctrl-C while an answer comes: it stops the answer, and the program only where that takes too long."""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def first_stops(stop: Callable[[], bool]) -> Generator[None]:
    """Has the first Ctrl-C call `stop`. The next one, or one for which that returns False, is a `KeyboardInterrupt`.

    Reading goes on after a signal that raises nothing, so the rest of the answer is still seen.
    """
    asked = False

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked or not stop():
            raise KeyboardInterrupt
        asked = True

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
