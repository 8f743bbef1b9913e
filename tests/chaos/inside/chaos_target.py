"""What the `python` models of the harness answer: the prompt says how.

Words are `NAME.INDEX`; see `models.py` of the harness, which reads the same prompts.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator

from tidegate.core.events import GenerationRequest


async def awaited(request: GenerationRequest) -> AsyncIterator[str]:
    """Answers on the server's loop."""
    how = json.loads(request.prompt)
    for index in range(how["tokens"]):
        if index == how["at"]:
            if how["fault"] == "raise":
                raise RuntimeError("as the prompt asked")
            if how["fault"] == "hang":
                await asyncio.Event().wait()
        await asyncio.sleep(1 / how["rate"])
        yield f"{' ' * (index > 0)}{how['name']}.{index}"


def threaded(request: GenerationRequest) -> Iterator[str]:
    """Answers from a thread."""
    how = json.loads(request.prompt)
    for index in range(how["tokens"]):
        if index == how["at"]:
            if how["fault"] == "raise":
                raise RuntimeError("as the prompt asked")
            while how["fault"] == "hang":
                time.sleep(0.02)
                yield ""
        time.sleep(1 / how["rate"])
        yield f"{' ' * (index > 0)}{how['name']}.{index}"
