"""Shows that a connection was lost, and when the next one is tried."""

from __future__ import annotations

from tidegate.client import Detail, State
from tidegate.client.terminal.screen import Screen


class ConnectionNote:
    """Is told what becomes of a connection (`on_state`): a note on a terminal, elsewhere a line for each outage.

    Call `held` with every event: what breaks after one is a new outage.
    """

    def __init__(self, screen: Screen) -> None:
        self.is_lost = False
        self._screen = screen
        self._said = False

    def __call__(self, state: State, detail: Detail) -> None:
        if state == "reconnecting" and detail.error is not None:
            self._lost(detail.error.message, detail.delay or 0.0)
        elif state == "streaming":
            self._back()

    def held(self) -> None:
        """An event has come."""
        self._said = False

    def _lost(self, why: str, delay: float) -> None:
        self.is_lost = True
        self._screen.note(f"not connected, again in {delay:.0f} s: {why}")
        if not self._screen.has_notes and not self._said:
            self._screen.say(f"not connected, trying until it answers: {why}")
            self._said = True

    def _back(self) -> None:
        self.is_lost = False
        self._screen.clear_note()
