"""`tidegate doctor`: examines a deployment and prints what was found."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any

from tidegate.client.doctor.examination import examine
from tidegate.client.doctor.patience import Patience
from tidegate.client.doctor.report import Report
from tidegate.client.doctor.seen import Seen
from tidegate.core.url import is_plain_http, shown_url, with_scheme
from tidegate.core.visible import visible_line
from tidegate.errors import ConfigError

FOUND = 1
NOTHING_FOUND = 0


def run(text: str, api_key: str, *, as_json: bool) -> int:
    """Prints the report on the deployment at a URL; returns the exit code.

    Raises `ConfigError` where the URL or the key is not right.
    """
    url = deployment_url(text)
    if sys.stderr.isatty():
        sys.stderr.write(f"examining {visible_line(url)}, for a minute at the most …\n")
    try:
        seen = asyncio.run(_until_stopped(examine(url, api_key, Patience(), time.time)))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    report = Report(url, seen)
    sys.stdout.write((report.json() if as_json else report.text()) + "\n")
    return FOUND if report.findings else NOTHING_FOUND


async def _until_stopped(examining: Coroutine[Any, Any, Seen]) -> Seen:
    """What was seen. SIGTERM cancels this, as Ctrl-C does, so that the doctor's streams are deleted."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await examining


def deployment_url(text: str) -> str:
    """The URL without a final slash; an address on this machine needs no scheme. Raises `ConfigError`."""
    url = with_scheme(text)
    if not is_plain_http(url):
        help = f": write https://{shown_url(text)}" if "://" not in text and is_plain_http(f"https://{text}") else ""
        raise ConfigError(
            f"{shown_url(text)!r} is no URL of a deployment, https://HOST[:PORT][/PREFIX] in ASCII, without user and "
            f"query{help}"
        )
    return url.rstrip("/")
