"""Tells somebody at a terminal that an answer has not begun yet, and why."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tidegate.client.terminal.screen import Screen

LOOK_SECONDS = 2.0
"""How often the place in the queue is asked for: a person who waits sees it move, and the server hardly notices."""


class Waiting:
    """While it is entered, notes what is waited for, which `what` tells (None: nothing now), and for how long."""

    def __init__(self, screen: Screen, what: Callable[[], str | None], clock: Callable[[], float]) -> None:
        self._screen = screen
        self._what = what
        self._clock = clock
        self._since = clock()
        self._over = threading.Event()
        self._telling = threading.Lock()

    def __enter__(self) -> Self:
        if self._screen.has_notes:
            # Nobody waits for this thread: it may hang on a server that is away.
            threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Says nothing more: what was waited for has come."""
        with self._telling:
            self._over.set()

    def _run(self) -> None:
        while not self._over.wait(LOOK_SECONDS):
            what = self._what()
            with self._telling:
                if what is not None and not self._over.is_set():
                    self._screen.note(f"{what}, {self._clock() - self._since:.0f} s")
