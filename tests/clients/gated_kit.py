"""A model that says half of its answer, and the rest when the test wants it: no answer ends too early or too late."""

from __future__ import annotations

from pathlib import Path

MODULE = """
import asyncio
from pathlib import Path


async def answer(request):
    for number in range(40):
        yield f"word{number} "
    while not Path(request.prompt).exists():
        await asyncio.sleep(0.02)
    for number in range(40, 80):
        yield f"word{number} "
"""

HALF = "word39"
WHOLE = "".join(f"word{number} " for number in range(80))

MODEL = """
[[models]]
name = "{name}"
provider = "python"
target = "gated:answer"
"""


def install(home: Path, name: str) -> str:
    """The configuration of a model of this name, for a server that runs in `home`."""
    (home / "gated.py").write_text(MODULE)
    return MODEL.format(name=name)


def open_gate(home: Path, prompt: str) -> None:
    """Answers to this prompt go on to their end."""
    (home / prompt).touch()
