"""Shows one answer of a model while it comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tidegate.client.terminal import ends
from tidegate.client.terminal.ends import text_in
from tidegate.client.terminal.screen import Screen
from tidegate.client.terminal.tool_calls import ToolCalls
from tidegate.client.terminal.transcript import Transcript
from tidegate.client.words import as_table

MEASURABLE_SECONDS = 0.1
"""An answer that came faster has no rate: it was there already, or came in one piece."""


class Answer:
    """Prints the events of one stream. `clock` tells seconds; `completed` is whether the answer is whole."""

    def __init__(self, screen: Screen, clock: Callable[[], float]) -> None:
        self.completed = False
        self.has_begun = False
        self._screen = screen
        self._clock = clock
        self._transcript = Transcript()
        self._calls = ToolCalls()
        self._thinks = False
        self._first = self._last = 0.0
        self._shown: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "delta": self._delta,
            "reasoning": self._reasoning,
            "tool_call": self._calls.add,
            "snapshot": self._snapshot,
            "completed": self._completed,
            "cancelled": self._cancelled,
            "failed": self._failed,
        }

    @property
    def text(self) -> str:
        """The text so far."""
        return self._transcript.text

    def show(self, kind: str, data: Mapping[str, Any]) -> None:
        """Prints an event; one of an unknown kind prints nothing."""
        if kind in ("delta", "reasoning", "tool_call"):
            self._time()
        if kind != "tool_call":
            self._say_calls()
        self._shown.get(kind, _nothing)(data)

    def _time(self) -> None:
        self._last = self._clock()
        self._first = self._first if self.has_begun else self._last
        self.has_begun = True

    def _delta(self, data: Mapping[str, Any]) -> None:
        piece = text_in(data, "text")
        if piece:
            self._end_thinking()
        self._transcript.add(piece)
        self._screen.text(piece)

    def _reasoning(self, data: Mapping[str, Any]) -> None:
        if self._screen.is_terminal:
            self._thinks = True
            self._screen.text(text_in(data, "text"), dim=True)

    def _end_thinking(self) -> None:
        if self._thinks:
            self._screen.end_line()
            self._screen.text("\n")
        self._thinks = False

    def _snapshot(self, data: Mapping[str, Any]) -> None:
        continues, rest = self._transcript.replace(text_in(data, "text"))
        if not continues:
            self._screen.end_line()
            self._screen.say(ends.LOST)
        self._screen.text(rest)

    def _completed(self, data: Mapping[str, Any]) -> None:
        self.completed = True
        self._screen.end_line()
        reason = text_in(data, "finish_reason")
        if reason in ends.NOT_PLAIN:
            self._screen.say(ends.NOT_PLAIN[reason])
        self._count(data)

    def _cancelled(self, data: Mapping[str, Any]) -> None:
        self._screen.end_line()
        by_caller = text_in(data, "by") == "client" and not text_in(data, "reason")
        self._screen.say("the answer was stopped" if by_caller else ends.cancelled(data))
        self._count(data)

    def _failed(self, data: Mapping[str, Any]) -> None:
        self._screen.end_line()
        interrupted = text_in(as_table(data.get("error")), "code") == "interrupted"
        self._screen.say("the server stopped in the middle of the answer" if interrupted else ends.failed(data))
        self._count(data)

    def _say_calls(self) -> None:
        for line in self._calls.take():
            self._screen.say(line)

    def _count(self, data: Mapping[str, Any]) -> None:
        count, seconds = ends.tokens(data), self._last - self._first
        if count is None:
            return
        told = f"{'about ' * ends.is_estimated(data)}{count} token{'s' * (count != 1)}"
        rate = f", {(count - 1) / seconds:.1f} tokens/s" if count > 1 and seconds > MEASURABLE_SECONDS else ""
        self._screen.remark(told + rate)


def _nothing(data: Mapping[str, Any]) -> None:
    """Events of newer servers are not for us."""
