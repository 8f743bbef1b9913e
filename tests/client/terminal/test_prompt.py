from __future__ import annotations

import sys
from pathlib import Path

from terminal_kit import in_terminal

INTERRUPTED = """
import ctypes, functools, readline, signal
from tidegate.client.terminal.prompt import Prompt

# No Python runs between the signal and the wait: not its function, but C's is called.
raise_in_c = functools.partial(getattr(ctypes.CDLL(None), "raise"), signal.SIGINT)
readline.set_startup_hook(raise_in_c)
try:
    Prompt().read()
except KeyboardInterrupt:
    print("heard")
"""


def test_ctrl_c_is_heard_at_every_moment_of_a_prompt(tmp_path: Path) -> None:
    """Also when the prompt stands there already, and readline has not begun to wait."""
    with in_terminal([sys.executable, "-c", INTERRUPTED], tmp_path) as terminal:
        terminal.expect("> ")
        terminal.expect("heard")
        assert terminal.code() == 0
