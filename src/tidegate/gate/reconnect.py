"""Answers a GET of events that has to wait: `EventSource` gives up for good on anything but 200."""

from __future__ import annotations

import math

from starlette.types import Scope, Send

from tidegate.core.connection import REFUSED
from tidegate.core.notices import CAPACITY, Reconnect
from tidegate.core.query import parameters
from tidegate.core.sse import RESPONSE_HEADERS
from tidegate.dialects import native_events


async def answer_reconnect(scope: Scope, send: Send, wait_s: float, code: str) -> None:
    """Answers 200 with `retry:` and a `reconnect` event, to come back in `wait_s` seconds; `code` is for the log."""
    scope[REFUSED] = code
    as_message = ("events", "message") in parameters(scope["query_string"])
    dialect = native_events.MESSAGES if as_message else native_events.EVENTS
    notice = Reconnect(math.ceil(wait_s * 1000), CAPACITY)
    body = dialect.preamble + dialect.notice(dialect.begin(), notice)
    await send({"type": "http.response.start", "status": 200, "headers": RESPONSE_HEADERS})
    await send({"type": "http.response.body", "body": body})
