"""Shows a stream or a topic in a terminal: its text on stdout, what happens to it on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from tidegate.client.session import Event
from tidegate.client.words import as_table
from tidegate.core.visible import visible, visible_line


class Printer:
    """Shows events. `code` is the exit code so far.

    The text comes from strangers, so control characters are shown as escapes, even in a pipe, since most of what is
    piped ends up on a terminal.
    """

    def __init__(self) -> None:
        self.code = 0
        self._in_line = False

    def show(self, event: Event) -> None:
        """Prints an event; one of an unknown kind without data prints nothing."""
        data = as_table(event.data)
        if event.type in ("delta", "snapshot"):
            self._print(_text(data, "text"))
        elif event.type == "gap":
            self.say(f"what came before {_text(data, 'to') or 'here'} is no longer kept")
        elif event.type == "failed":
            self._end(f"failed: {_text(as_table(data.get('error')), 'message') or 'no reason given'}")
        elif event.type == "cancelled":
            self._end(_cancelled(data))
        elif "data" in data:
            self._print(_line(data["data"]))

    def say(self, message: str) -> None:
        """Prints a message to stderr, as one line: stdout has the stream's text and nothing else."""
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


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _line(message: object) -> str:
    """A message of a topic as a line: a text as it is, anything else as JSON."""
    text = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    return f"{text}\n"
