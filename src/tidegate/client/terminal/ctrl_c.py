"""Ctrl-C while an answer comes: it stops the answer, and the program only where that takes too long."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

PATIENCE_SECONDS = 10.0
"""A server may take its lease of 5 s, and 2 s more, to stop an answer."""


@contextmanager
def first_stops(stop: Callable[[], bool], patience: float = PATIENCE_SECONDS) -> Generator[None]:
    """Has the first Ctrl-C call `stop`. The next one, or one for which that returns False, is a `KeyboardInterrupt`;
    where nothing has ended after `patience` seconds, the next one comes by itself.

    Reading goes on after a signal that raises nothing, so the rest of the answer is still seen.
    """
    asked = False
    over = threading.Timer(patience, signal.pthread_kill, (threading.get_ident(), signal.SIGINT))
    over.daemon = True

    def interrupted(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        if not stop():
            raise KeyboardInterrupt
        over.start()

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        over.cancel()
        signal.signal(signal.SIGINT, before)
