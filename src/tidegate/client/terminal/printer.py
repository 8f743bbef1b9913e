"""Prints a stream or a topic: its text on stdout, what happens to it on stderr."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tidegate.client.terminal import ends
from tidegate.client.terminal.ends import text_in
from tidegate.client.terminal.screen import Screen
from tidegate.client.terminal.transcript import Transcript


class Printer:
    """Shows events. `code` is the exit code so far."""

    def __init__(self, screen: Screen) -> None:
        self.code = 0
        self._screen = screen
        self._transcript = Transcript()

    def show(self, kind: str, data: Mapping[str, Any]) -> None:
        """Prints an event; one of an unknown kind without data prints nothing."""
        if kind == "delta":
            self._text(text_in(data, "text"))
        elif kind == "gap":
            self._screen.say(f"what came before {text_in(data, 'to') or 'here'} is no longer kept")
        elif kind == "snapshot":
            self._screen.text(self._transcript.replace(text_in(data, "text"))[1])
        elif kind == "failed":
            self._end(ends.failed(data))
        elif kind == "cancelled":
            self._end(ends.cancelled(data))
        elif "data" in data:
            self._screen.text(_line(data["data"]))

    def _text(self, text: str) -> None:
        self._transcript.add(text)
        self._screen.text(text)

    def _end(self, message: str) -> None:
        self.code = 1
        self._screen.say(message)


def _line(message: object) -> str:
    """A message of a topic as a line: a text as it is, anything else as JSON."""
    text = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    return f"{text}\n"
