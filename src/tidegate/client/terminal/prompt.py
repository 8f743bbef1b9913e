"""Asks for lines at a terminal, with the line editing and the history of readline, where Python has it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

from tidegate.client.terminal.interrupts import Interrupts

PROMPT = "> "


class Prompt:
    """Reads what somebody types. The history lasts as long as the program: questions are not left on a disk."""

    def __init__(self, ask: Callable[[str], str] = input) -> None:
        self._ask = ask
        self._interrupts = Interrupts()
        self._readline: Any = None
        with suppress(ImportError):
            self._readline = import_module("readline")

    def read(self) -> str | None:
        """The next line that is not empty, or None at the end of input (Ctrl-D).

        Ctrl-C leaves a line that was begun, and raises `KeyboardInterrupt` at an empty one.
        """
        while True:
            try:
                with self._interrupts.heard():
                    typed = self._ask(PROMPT)
            except EOFError:
                print()  # noqa: T201
                return None
            except UnicodeDecodeError:
                continue
            except KeyboardInterrupt:
                print()  # noqa: T201
                if not self._begun():
                    raise
                continue
            if typed.strip():
                return typed

    def _begun(self) -> bool:
        return self._readline is not None and bool(self._readline.get_line_buffer())
