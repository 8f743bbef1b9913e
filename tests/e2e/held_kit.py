"""A model that stops in mid-answer until the test lets it go on: no machine is too slow to see half of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

HELD_MODEL = """
[[models]]
name = "held"
provider = "python"
target = "held:answer"
"""

MODULE = """
import asyncio
from pathlib import Path

from tidegate import Completed, Usage

WORDS = {words!r}


async def answer(request):
    for word in WORDS[:10]:
        yield word
    while not Path("goes-on").exists():
        await asyncio.sleep(0.01)
    for word in WORDS[10:]:
        yield word
    yield Completed("stop", Usage(1, len(WORDS), len(WORDS) + 1))
"""


def hold(folder: Path, text: str) -> Callable[[], None]:
    """Has `HELD_MODEL`, of a server in this folder, give ten words of the text; the result, once called, the rest."""
    pieces = [f"{word} " for word in text.split()]
    pieces[-1] = pieces[-1].rstrip()
    (folder / "held.py").write_text(MODULE.format(words=pieces))
    return (folder / "goes-on").touch
