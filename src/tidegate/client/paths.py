"""The paths of the calls that clients make. Pure."""

from __future__ import annotations

from urllib.parse import quote

STREAMS = "/v1/streams"
STREAM_PREFIX = "gen_"


def stream(id: str, call: str = "") -> str:
    """The path of a stream, or of a call below it."""
    return f"{STREAMS}/{_part(id)}{call}"


def topic(name: str, call: str) -> str:
    """The path of a call of a topic."""
    return f"/v1/topics/{_part(name)}{call}"


def events(name: str) -> str:
    """The path of the events of a stream (`gen_…`), or else of a topic."""
    return stream(name, "/events") if is_stream(name) else topic(name, "/events")


def is_stream(name: str) -> bool:
    """Whether the name is a stream's id, and not a topic's name."""
    return name.startswith(STREAM_PREFIX)


def _part(name: str) -> str:
    return quote(name, safe="", errors="replace")
