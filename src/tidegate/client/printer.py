"""A stream or a topic as it is shown in a terminal: its text on stdout, what happens to it on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from tidegate.client.words import as_table, parsed
from tidegate.core.sse import ServerSentEvent
from tidegate.core.visible import visible, visible_line
from tidegate.errors import UpstreamMalformed


class Printer:
    """Shows events. `code` is the exit code so far.

    What it writes was written by strangers: control characters are shown as escapes, into a pipe as well, since
    what is piped is mostly looked at in the end.
    """

    def __init__(self) -> None:
        self.code = 0
        self._in_line = False

    def show(self, event: ServerSentEvent) -> None:
        """Raises `UpstreamMalformed` for an event that cannot be read; one of a kind it does not know says nothing."""
        data = _data(event)
        if event.event == "delta":
            self._print(_text(data, "text"))
        elif event.event == "gap":
            self.say(f"what came before {_text(data, 'to') or 'here'} is no longer kept")
        elif event.event == "failed":
            self._end(f"failed: {_text(as_table(data.get('error')), 'message') or 'no reason given'}")
        elif event.event == "cancelled":
            self._end(_cancelled(data))
        elif "data" in data:
            self._print(_line(data["data"]))

    def say(self, message: str) -> None:
        """Tells something on stderr, as one line: what stands on stdout is the stream's text and nothing else."""
        sys.stderr.write("\n" * self._in_line + f"tidegate: {visible_line(message)}\n")
        sys.stderr.flush()

    def end_line(self) -> None:
        """Ends the line of text that was begun on stdout."""
        if self._in_line:
            self._print("\n")

    def _print(self, text: str) -> None:
        sys.stdout.write(visible(text))
        sys.stdout.flush()
        if text:
            self._in_line = not text.endswith("\n")

    def _end(self, message: str) -> None:
        self.code = 1
        self.say(message)


def _cancelled(data: Mapping[str, Any]) -> str:
    said, reason = f"cancelled by {_text(data, 'by') or 'somebody'}", _text(data, "reason")
    return f"{said}: {reason}" if reason else said


def _data(event: ServerSentEvent) -> Mapping[str, Any]:
    value = parsed(event.data)
    if value is None:
        raise UpstreamMalformed(f"the server sent an event {event.event!r} that cannot be read")
    return as_table(value)


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _line(message: object) -> str:
    """A message of a topic: a text as it is, all else as JSON."""
    text = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    return f"{text}\n"
