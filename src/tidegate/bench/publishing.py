"""Publishes to a topic while its readers are measured, from a thread on the load's CPU."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from itertools import count

from tidegate.bench.options import Options
from tidegate.bench.processes import load_cpu

TOPIC = "bench"

Send = Callable[[int, str], None]
"""Publishes a text and waits for the answer; the number, from 0, is that of the message."""


@contextmanager
def publishing(options: Options, connected: Callable[[], AbstractContextManager[Send]]) -> Generator[Callable[[], int]]:
    """Publishes `rate` messages a second meanwhile, over what `connected` opens.

    Yields a function that returns, afterwards, the number of messages, or raises what went wrong.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(_publish, options, connected, stop)
        try:
            yield work.result
        finally:
            stop.set()


def _publish(options: Options, connected: Callable[[], AbstractContextManager[Send]], stop: threading.Event) -> int:
    os.sched_setaffinity(0, {load_cpu()})
    padding = "x" * options.size
    with connected() as send:
        began = time.monotonic()
        for number in count():
            if stop.wait(max(0.0, began + number / options.rate - time.monotonic())):
                return number
            send(number, f"@{time.time_ns()};{padding}")
    raise AssertionError("numbers do not end")
