"""Writes to the terminal: a stream's text to stdout, all else to stderr."""

from __future__ import annotations

import os
import select
import shutil
import sys
from collections.abc import Mapping
from threading import Lock
from typing import TextIO

from tidegate.client.terminal.cells import fitted
from tidegate.client.terminal.characters import Characters
from tidegate.core.visible import visible, visible_line

# ECMA-48: dim and plain letters; the cursor to the beginning of the line, which is erased.
DIM, PLAIN = "\x1b[2m", "\x1b[0m"
ERASE_LINE = "\r\x1b[2K"

# A note in the middle of a line of text stands below it, and the cursor comes back. Down and up again first, so that
# the terminal scrolls, where it has to, before the place is remembered.
BELOW = "\x1bD\x1bM\x1b7\r\n"
BACK = "\x1b8"


class Screen:
    """Where a client shows what comes. Control characters in what others wrote are shown as escapes, in a pipe too.

    On a terminal it has a note, too: one line that stands for as long as it is true.
    """

    def __init__(self, out: TextIO, err: TextIO, environ: Mapping[str, str]) -> None:
        self._out = out
        self._err = err
        movable = environ.get("TERM", "") not in ("", "dumb")
        self.is_terminal = out.isatty() and movable
        self.has_notes = err.isatty() and movable
        self._colours = not environ.get("NO_COLOR")
        self._characters = Characters()
        self._in_line = False
        self._left = False
        self._restore = ""
        # A note is also made by the thread that asks for the place in a queue.
        self._lock = Lock()

    def text(self, text: str, *, dim: bool = False) -> None:
        """Prints text as it is, dim where the terminal has colours. Half a character waits for its other half."""
        with self._lock:
            self._clear()
            self._print(self._characters.take(text), dim=dim)

    def say(self, message: str) -> None:
        """Prints a message of the program, as one line."""
        with self._lock:
            self._clear()
            self._line(f"tidegate: {visible_line(message)}")

    def remark(self, message: str) -> None:
        """Prints what only somebody at a terminal wants to know, as one dim line."""
        if self.has_notes:
            with self._lock:
                self._clear()
                self._line(self._dim(f"[{visible_line(message)}]", self.has_notes))

    def note(self, message: str) -> None:
        """Shows a note in place of the one before, until something else is shown. There are none but on terminals."""
        if self.has_notes:
            with self._lock:
                self._clear()
                self._show_note(visible_line(message))

    def clear_note(self) -> None:
        """Takes the note away."""
        with self._lock:
            self._clear()

    def end_line(self) -> None:
        """Ends the line of text that was begun on stdout."""
        with self._lock:
            self._clear()
            self._print(self._characters.rest())
            if self._in_line:
                self._print("\n")

    def leave(self) -> None:
        """Ends the line, unless stdout takes no more: a terminal that was stopped must not keep who leaves."""
        if select.select([], [self._out], [], 0)[1]:
            self.end_line()

    def _print(self, text: str, *, dim: bool = False) -> None:
        if not text:
            return
        shown = visible(text)
        self._out.write(self._dim(shown, self.is_terminal) if dim else shown)
        self._out.flush()
        self._in_line = not text.endswith("\n")
        self._left = False

    def _line(self, text: str) -> None:
        self._err.write("\n" * (self._in_line and not self._left) + f"{text}\n")
        self._err.flush()
        # On a terminal that has ended the line of the text; in a file the text is still in it.
        self._left = True
        self._in_line = self._in_line and not self.is_terminal

    def _show_note(self, message: str) -> None:
        columns = shutil.get_terminal_size().columns
        below = self._in_line and self.is_terminal
        self._restore = ERASE_LINE + (BACK if below else "")
        self._err.write((BELOW if below else "") + self._dim(fitted(message, columns - 1), self.has_notes))
        self._err.flush()

    def _clear(self) -> None:
        if self._restore:
            self._err.write(self._restore)
            self._err.flush()
            self._restore = ""

    def _dim(self, text: str, terminal: bool) -> str:
        return f"{DIM}{text}{PLAIN}" if terminal and self._colours else text


def standard_screen() -> Screen:
    """The screen of this process."""
    return Screen(sys.stdout, sys.stderr, os.environ)
