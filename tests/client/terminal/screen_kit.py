"""A screen on nothing but texts."""

from __future__ import annotations

import io

from tidegate.client.terminal.screen import Screen


class Sheet(io.StringIO):
    """What is written, to a terminal or not."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def screens(*, out: bool, err: bool, **environ: str) -> tuple[Screen, Sheet, Sheet]:
    """A screen whose stdout and stderr are terminals or not, and what is written to them."""
    sheets = Sheet(terminal=out), Sheet(terminal=err)
    return Screen(*sheets, {"TERM": "xterm", **environ}), *sheets
