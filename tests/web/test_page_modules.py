"""What of the chat page needs no page: how turns are folded, conversations kept and streams traced."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent / "js"
OURS = Path(__file__).parents[2] / ".venv/bin/node"
NODE = str(OURS) if OURS.exists() else shutil.which("node") or "node"


def run(script: str) -> None:
    done = subprocess.run([NODE, FOLDER / script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_turn_is_folded_from_the_events_of_its_stream() -> None:
    """Text and cursor change together; thoughts, calls, ends and continuations have their places."""
    run("turn.mjs")


def test_a_browser_keeps_the_newest_conversations() -> None:
    """Within bounds, per place, each turn by itself; the oldest go first, and a full storage is said."""
    run("shelf.mjs")


def test_a_stream_is_traced() -> None:
    """Breaks, resumptions and pieces are written down with their times, within bounds."""
    run("trace.mjs")
