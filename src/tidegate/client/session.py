"""Follows one stream across lost connections: what to request, and how to handle each answer, event and loss.

Pure: no sockets and no clock; randomness is passed in. Its users do the input and output.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote, urlencode

import msgspec

from tidegate.client.words import error_message, quoted
from tidegate.core.backoff import JITTER, MAX_FLOOR, Backoff
from tidegate.core.sse import Decoder, ServerSentEvent
from tidegate.core.url import shown_url
from tidegate.errors import UpstreamMalformed, UpstreamRefused

TERMINAL_EVENTS = frozenset({"completed", "cancelled", "failed"})
TRANSIENT_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses of a server, or a proxy in front of it, after which a retry may succeed."""

STREAM_PREFIX = "gen_"


class _Reconnect(msgspec.Struct):
    after_ms: float


def events_path(name: str) -> str:
    """The path of the events of a stream (`gen_…`), or else of a topic, below the server's URL."""
    kind = "streams" if name.startswith(STREAM_PREFIX) else "topics"
    return f"/v1/{kind}/{quote(name, safe='', errors='replace')}/events"


class Session:
    """One reader of one stream, however many connections it takes.

    For each connection call `request`, then `answered`, then `feed` with every chunk; whenever a connection is refused,
    breaks or ends, `lost` says how long to wait before the next. The session is over when `ended` is true. `random`
    returns a number from 0 to 1.
    """

    def __init__(self, name: str, *, after: str | None, random: Callable[[], float]) -> None:
        self.ended = False
        self._path = events_path(name)
        self._after = after
        self._last_event_id = ""
        self._random = random
        self._backoff = Backoff(random)
        self._decoder = Decoder()
        self._asked_to_wait: float | None = None

    @property
    def offline(self) -> bool:
        """Whether the server has been unreachable for long; retries continue."""
        return self._backoff.offline

    def request(self) -> tuple[str, dict[str, str]]:
        """The path and headers of the next GET."""
        self._decoder = Decoder()
        headers = {"accept": "text/event-stream", "cache-control": "no-store"}
        if self._last_event_id:
            return self._path, {**headers, "last-event-id": self._last_event_id}
        return self._path + (f"?{urlencode({'after': self._after}, errors='replace')}" if self._after else ""), headers

    def answered(self, status: int, headers: Callable[[str], str | None], body: Callable[[], bytes]) -> bool:
        """Whether events follow; if not, the rest may be ignored. `headers` looks one up by its name in lower case.

        Raises `UpstreamRefused` for a refusal that a retry will not change, and `UpstreamMalformed` for an answer that
        is no event stream.
        """
        if status == 204:
            self.ended = True
            return False
        if status in TRANSIENT_STATUSES:
            self._asked_to_wait = _seconds(headers("retry-after"))
            return False
        if status != 200:
            said = _moved(headers("location")) or error_message(body())
            message = f"{said} ({status})" if said else f"the server answered {status}"
            raise UpstreamRefused(message, type="upstream_error", status=status)
        if (headers("content-type") or "").partition(";")[0].strip().lower() != "text/event-stream":
            raise UpstreamMalformed(f"the server answered with something else than an event stream: {quoted(body())}")
        if (headers("content-encoding") or "identity").strip().lower() != "identity":
            raise UpstreamMalformed("the event stream is compressed although nobody asked for it, by a proxy perhaps")
        self._backoff.reset()
        return True

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that end in this chunk. Raises `UpstreamMalformed` for an event that is too large."""
        events = self._decoder.feed(chunk)
        for event in events:
            self._note(event)
        if self._decoder.retry_ms is not None:
            self._backoff.at_least(self._decoder.retry_ms)
        if self._decoder.last_event_id:
            self._last_event_id = self._decoder.last_event_id
        return events

    def lost(self) -> float:
        """How long to wait before the next connection, in seconds."""
        asked, self._asked_to_wait = self._asked_to_wait, None
        delay = self._backoff.failed()
        return delay if asked is None else asked * (1 + JITTER * self._random())

    def _note(self, event: ServerSentEvent) -> None:
        if event.event in TERMINAL_EVENTS:
            self.ended = True
        elif event.event == "reconnect":
            try:
                after_ms = msgspec.json.decode(event.data, type=_Reconnect).after_ms
            except (msgspec.DecodeError, ValueError, RecursionError) as error:
                raise UpstreamMalformed(f"a reconnect event without after_ms: {error}") from error
            self._asked_to_wait = min(max(after_ms / 1000, 0.0), MAX_FLOOR)


def _seconds(retry_after: str | None) -> float | None:
    """The header in seconds; None for dates (RFC 9110, 10.2.3), which are not worth parsing here."""
    if retry_after is None or not (retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10):
        return None
    return min(float(retry_after), MAX_FLOOR)


def _moved(location: str | None) -> str:
    """The message for a redirect. It is not followed, since the key would go to a server that nobody chose."""
    return f"the server redirects to {shown_url(location)}: give that place as its URL" if location else ""
