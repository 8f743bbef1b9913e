"""A program in a terminal, seen and typed to from its other side."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

CTRL_C, CTRL_D, UP = "\x03", "\x04", "\x1b[A"

PATIENCE_SECONDS = 60.0


class Terminal:
    """What a program has written to its terminal so far is `shown`."""

    def __init__(self, ours: int, process: subprocess.Popen[bytes]) -> None:
        self._ours = ours
        self._bytes = b""
        self._seen = 0
        self.process = process

    @property
    def shown(self) -> str:
        return self._bytes.decode("utf-8", "replace")

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def ask(self, text: str) -> None:
        """Types a line at the prompt."""
        self.expect("> ")
        self.type(text + "\r")
        # What the terminal repeats of it is no answer.
        self.expect("\n")

    def expect(self, text: str) -> str:
        """Waits for a text that has not been waited for yet; what was shown before it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.shown[self._seen :]:
            assert time.monotonic() < deadline, f"no {text!r} in {self.shown[self._seen :]!r}"
            assert self._read(), f"ended without {text!r}: {self.shown[self._seen :]!r}"
        before, self._seen = self._seen, self.shown.index(text, self._seen) + len(text)
        return self.shown[before : self._seen - len(text)]

    def code(self) -> int:
        """Reads to the end, and waits for the exit code."""
        while self._read():
            pass
        return self.process.wait(PATIENCE_SECONDS)

    def _read(self) -> bool:
        """Whether there may be more."""
        if not select.select([self._ours], [], [], PATIENCE_SECONDS)[0]:
            return False
        piece = b""
        with suppress(OSError):  # The end of a terminal whose program has left.
            piece = os.read(self._ours, 65536)
        self._bytes += piece
        return bool(piece)


@contextmanager
def in_terminal(
    command: Sequence[str], cwd: Path, *, environ: Mapping[str, str] | None = None, columns: int = 80
) -> Generator[Terminal]:
    """Runs a program in a terminal of its own, which Ctrl-C reaches as a signal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    plain = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        ["setsid", "--ctty", *command],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=cwd,
        env={**plain, "TERM": "xterm-256color", "LANG": "C.UTF-8", "INPUTRC": "/dev/null", **(environ or {})},
    )
    os.close(theirs)
    try:
        with process:
            try:
                yield Terminal(ours, process)
            finally:
                if process.poll() is None:
                    process.kill()
    finally:
        os.close(ours)
