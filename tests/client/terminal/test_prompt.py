from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from terminal_kit import in_terminal

from tidegate.client.terminal.prompt import Prompt

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


def test_a_ctrl_c_between_two_prompts_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Python is told of signals stays open: what is opened next would get their numbers."""
    tell, coming = signal.set_wakeup_fd, [KeyboardInterrupt]

    def interrupted(descriptor: int, *, warn_on_full_buffer: bool = True) -> int:
        if descriptor == -1 and coming:
            raise coming.pop()
        return tell(descriptor, warn_on_full_buffer=warn_on_full_buffer)

    monkeypatch.setattr(signal, "set_wakeup_fd", interrupted)
    prompt = Prompt(lambda _: "typed")
    try:
        with suppress(KeyboardInterrupt):
            prompt.read()
        assert not coming
        assert prompt.read() == "typed"
    finally:
        assert os.fstat(tell(-1))


def test_prompts_leave_nothing_behind() -> None:
    """However many lines are asked for, they share one thread, which ends with the last prompt."""
    before = set(threading.enumerate())
    prompt = Prompt(lambda _: "typed")
    (waker,) = set(threading.enumerate()) - before
    opened = len(os.listdir("/proc/self/fd"))
    assert [prompt.read() for _ in range(100)] == ["typed"] * 100
    assert set(threading.enumerate()) <= {*before, waker}
    assert len(os.listdir("/proc/self/fd")) <= opened
    assert signal.set_wakeup_fd(-1) == -1
    del prompt
    waker.join(30)
    assert not waker.is_alive()
