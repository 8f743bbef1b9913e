"""Ctrl-C at a prompt, at whatever moment it comes."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

AGAIN_SECONDS = 0.05
"""Until who waits is woken again: the first time may have been too early, too."""


@contextmanager
def heard() -> Generator[None]:
    """Has Ctrl-C end what waits within, in the main thread, for a line.

    Between the prompt and the wait readline gives Python no turn. A signal that comes there interrupts nothing, and
    Python would only look for it after the next key: so a thread is told of it, and interrupts the wait. It does that
    with a signal that does no harm where it comes too late.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    left, main = threading.Event(), threading.get_ident()

    def wake() -> None:
        with ours:
            while number := ours.recv(1):
                while number[0] == signal.SIGINT and not left.wait(AGAIN_SECONDS):
                    signal.pthread_kill(main, signal.SIGURG)

    told, urgent = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False), signal.getsignal(signal.SIGURG)
    signal.signal(signal.SIGURG, _nothing)
    threading.Thread(target=wake, daemon=True).start()
    try:
        yield
    finally:
        left.set()
        signal.set_wakeup_fd(told)
        signal.signal(signal.SIGURG, urgent)
        theirs.close()


def _nothing(number: int, frame: FrameType | None) -> None:
    """A signal that is ignored would interrupt nothing."""
