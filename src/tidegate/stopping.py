"""Signals that reach the server, and a deadline after which the process is ended: a stop never takes longer.

A loop that is blocked by somebody's code, a thread that is joined at exit and waits for a dead disk, a resolver that
does not answer, a terminal that nobody reads: none of them can delay the end beyond the deadline. So a separate thread
receives the signals, since Python's handlers run in the main thread, which may be blocked.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Any

STOPPING = (signal.SIGTERM, signal.SIGINT)

LAST_SECONDS = 4.5
"""The time from the end of `drain_seconds` to the end of the process: the five seconds promised, less a margin."""

AT_ONCE_SECONDS = 2.5
"""The time from the second signal to the end of the process, in which what closes quickly can close in order."""

KERNEL_SECONDS = 0.3
"""So much later a timer of the kernel ends a process that cannot even run this thread, e.g. when native code holds the
interpreter lock, or when C's clean-up at exit waits for the threads of the resolver."""

LOG_SECONDS = 0.15
"""How long the last log lines may take: the log may be what hangs."""

LEAVE_SECONDS = 1
"""How long, after draining, clients that do not read are waited for, and then providers that do not stop."""

FRAMES = 6
"""How many innermost frames of each stack are logged: where a thread waits, and for whom."""

log = logging.getLogger("tidegate.server")


class Stopping:
    """Counts SIGTERM and SIGINT; after the second they have their usual effect again. SIGHUP sets `hung_up`.

    The process ends at the latest `drain_seconds` and `LAST_SECONDS` after the first signal, and `AT_ONCE_SECONDS`
    after the second; if it did not end by itself, with exit code 1. It is made once, on the main thread's loop.
    """

    def __init__(self, drain_seconds: float) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self.hung_up = asyncio.Event()
        self._drain_seconds = drain_seconds
        self._count = 0
        self._deadline = inf
        self._loop = asyncio.get_running_loop()
        self._taken, told = os.pipe()
        os.set_blocking(told, False)
        for each in (*STOPPING, signal.SIGHUP):
            signal.signal(each, _nothing)
        # The loop may have set a descriptor of its own, for other signals.
        self._before = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
        # The command has put it off until here, while it read the configuration.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGHUP,))
        threading.Thread(target=self._watch, name="tidegate-stopping", daemon=True).start()

    def over(self) -> None:
        """Stops telling the loop of signals, since it is about to be closed; the deadline stays."""
        signal.set_wakeup_fd(self._before)
        _let_end()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._taken, select.POLLIN)
        while (left := self._deadline - monotonic()) > 0:
            if poll.poll(None if left == inf else left * 1000):
                for number in os.read(self._taken, 64):
                    self._received(number)
        telling = threading.Thread(target=self._tell, daemon=True)
        telling.start()
        telling.join(LOG_SECONDS)
        os._exit(1)

    def _received(self, number: int) -> None:
        with suppress(RuntimeError):  # the loop is closed
            if number in STOPPING:
                self._count += 1
                self._stop(*((self._drain_seconds + LAST_SECONDS, self.first) if self._count == 1 else self._at_once()))
            elif number == signal.SIGHUP:
                self._loop.call_soon_threadsafe(self.hung_up.set)
        if self._before >= 0:
            with suppress(OSError):
                os.write(self._before, bytes((number,)))

    def _at_once(self) -> tuple[float, asyncio.Event]:
        self._loop.call_soon_threadsafe(_let_end)
        return AT_ONCE_SECONDS, self.second

    def _stop(self, seconds: float, event: asyncio.Event) -> None:
        self._deadline = min(self._deadline, monotonic() + seconds)
        signal.setitimer(signal.ITIMER_REAL, self._deadline - monotonic() + KERNEL_SECONDS)
        self._loop.call_soon_threadsafe(event.set)

    def _tell(self) -> None:
        log.error("the process did not end in time, and is ended; it waited for:\n%s", "\n".join(self._waits()))

    def _waits(self) -> Iterator[str]:
        frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage]
        for thread in threading.enumerate():
            if thread.ident in frames and not thread.daemon:
                stack = traceback.format_stack(frames[thread.ident])[-FRAMES:]
                yield f"thread {thread.name}:\n{''.join(stack)}"
        yield from (f"task {task!r}" for task in asyncio.all_tasks(self._loop))


async def before(event: asyncio.Event, work: Awaitable[Any]) -> bool:
    """Whether `work` has ended before the event is set; if not, it is cancelled. Raises what `work` raises."""
    working = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        ended = working.done()
        working.cancel()
    if ended:
        working.result()
    else:
        await asyncio.wait((working,), timeout=LEAVE_SECONDS)
    return ended


def _nothing(number: int, frame: object) -> None:
    """A handler that does nothing: the signal reaches only the thread, by the wake-up descriptor."""


def _let_end() -> None:
    for each in STOPPING:
        signal.signal(each, signal.SIG_DFL)
