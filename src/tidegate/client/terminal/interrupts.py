"""Ctrl-C at prompts, at whatever moment it comes."""

from __future__ import annotations

import signal
import socket
import threading
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

AGAIN_SECONDS = 0.05
"""Until who waits is woken again: the first time may have been too early, too."""


class Interrupts:
    """Has Ctrl-C end what waits, in the main thread, for a line.

    Between the prompt and the wait readline gives Python no turn. A signal that comes there interrupts nothing, and
    Python would only look for it after the next key: so a thread is told of it, and interrupts the wait. It does that
    with a signal that does no harm where it comes too late.
    """

    def __init__(self) -> None:
        # Another Ctrl-C may come while `heard` is left, and Python is told of signals here from then on. So both ends
        # stay open for as long as this is used: whatever was opened next would get their numbers.
        ours, self._theirs = socket.socketpair()
        self._theirs.setblocking(False)
        self._left = threading.Event()
        self._left.set()
        weakref.finalize(self, self._theirs.close)
        threading.Thread(target=_wake, args=(ours, self._left, threading.get_ident()), daemon=True).start()

    @contextmanager
    def heard(self) -> Generator[None]:
        """Ctrl-C ends what waits within."""
        told = signal.set_wakeup_fd(self._theirs.fileno(), warn_on_full_buffer=False)
        urgent = signal.signal(signal.SIGURG, _nothing)
        self._left.clear()
        try:
            yield
        finally:
            self._left.set()
            signal.set_wakeup_fd(told)
            signal.signal(signal.SIGURG, urgent)


def _wake(ours: socket.socket, left: threading.Event, main: int) -> None:
    with ours:
        while number := ours.recv(1):
            while number[0] == signal.SIGINT and not left.wait(AGAIN_SECONDS):
                signal.pthread_kill(main, signal.SIGURG)


def _nothing(number: int, frame: FrameType | None) -> None:
    """A signal that is ignored would interrupt nothing."""
