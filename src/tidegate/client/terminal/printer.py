"""Prints a stream or a topic: its text on stdout, what happens to it on stderr."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.client.terminal import ends
from tidegate.client.terminal.ends import text_in
from tidegate.client.terminal.screen import Screen
from tidegate.client.terminal.transcript import Transcript
from tidegate.core.visible import visible_json


class Printer:
    """Shows events. `code` is the exit code so far; `is_rest`: the stream's beginning was shown elsewhere."""

    def __init__(self, screen: Screen, *, is_rest: bool = False) -> None:
        self.code = 0
        self.has_ended = False
        self._screen = screen
        self._is_rest = is_rest
        self._transcript = Transcript()

    def show(self, kind: str, data: Mapping[str, Any]) -> None:
        """Prints an event; one of an unknown kind without data prints nothing."""
        if kind == "delta":
            self._text(text_in(data, "text"))
        elif kind == "snapshot":
            self._whole(text_in(data, "text"))
        elif kind == "completed":
            self.has_ended = True
        elif kind == "failed":
            self._end(ends.failed(data))
        elif kind == "cancelled":
            self._end(ends.cancelled(data))
        elif "data" in data:
            self._screen.text(_line(data["data"]))

    def missed(self, to: str) -> None:
        """Tells of a hole that nothing fills: what came before the position `to`."""
        self._screen.say(f"what came before {to or 'here'} is no longer kept")

    def found(self, snapshot: Mapping[str, Any]) -> None:
        """Tells how a stream had ended before it was followed."""
        status = text_in(snapshot, "status")
        if status != "completed":
            self._end(ends.failed(snapshot) if status == "failed" else f"it was {status}")

    def _text(self, text: str) -> None:
        self._transcript.add(text)
        self._screen.text(text)

    def _whole(self, text: str) -> None:
        continues, rest = self._transcript.replace(text)
        if self._is_rest or not continues:
            self._screen.end_line()
            self._screen.say(ends.LOST)
            rest, self._is_rest = text, False
        self._screen.text(rest)

    def _end(self, message: str) -> None:
        self.code, self.has_ended = 1, True
        self._screen.end_line()
        self._screen.say(message)


def _line(message: object) -> str:
    """A message of a topic as a line: a text as it is, anything else as JSON."""
    return f"{message if isinstance(message, str) else visible_json(message)}\n"
