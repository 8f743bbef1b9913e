"""Leaving and coming back over real connections."""

from __future__ import annotations

import json
import random

import pytest
from api_kit import call, fetch

from tidegate import Tidegate
from tidegate.config import Settings
from tidegate.core.sse import ServerSentEvent
from tidegate.providers.settings import LlamaModel, ModelSettings, ReplayModel
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

PROMPT = "Tell me a long story about a lighthouse and the sea."


async def read_with_cuts(url: str, cuts: list[int]) -> list[ServerSentEvent]:
    """Follows a stream, cutting the connection after so many bytes each time and resuming by `Last-Event-ID`."""
    seen: list[ServerSentEvent] = []
    last = ""
    for cut in [*cuts, None]:
        async with call(url, headers={"last-event-id": last} if last else {}) as answer:
            assert answer.status == 200
            received = 0
            async for chunk in answer.chunks():
                chunk = chunk if cut is None else chunk[: cut - received]
                received += len(chunk)
                events = answer.decoder.feed(chunk)
                seen += events
                last = events[-1].id if events else last
                if received == cut:
                    break
    return seen


async def check_cuts(model: ModelSettings, seed: int, *, tokens: int, reach: int) -> None:
    rng = random.Random(seed)
    app = Tidegate(Settings(models=(model,)))
    await app.start()
    async with serving(app) as url:
        body = {"model": model.name, "prompt": PROMPT, "background": True, "max_tokens": tokens, "seed": seed}
        _, headers, _ = await fetch(f"{url}/v1/streams", "POST", body)
        stream = f"{url}{headers['location']}"
        events = await read_with_cuts(f"{stream}/events", [rng.randint(40, reach) for _ in range(50)])
        _, _, snapshot = await fetch(stream)
        await app.close()
    offsets = [int(event.id.split("-")[1]) for event in events]
    assert offsets == sorted(set(offsets))
    assert offsets[-1] == int(snapshot["cursor"].split("-")[1])
    assert events[-1].event == "completed"
    text = "".join(json.loads(event.data)["text"] for event in events if event.event == "delta")
    assert text == snapshot["text"]
    assert text


@pytest.mark.parametrize("seed", range(4))
async def test_fifty_cuts_lose_nothing_and_repeat_nothing(seed: int) -> None:
    """A reader cut off at 50 random points of a 1,000-token answer has, in the end, exactly the answer."""
    await check_cuts(ReplayModel(name="replay", tokens=1000, rate=1000), seed, tokens=1000, reach=1500)


async def test_fifty_cuts_of_a_real_models_answer() -> None:
    """The same with the embedded model, whose pieces are of any length and split where it likes."""
    pytest.importorskip("xllamacpp")
    # The story has more than 120 tokens, each an event of 45 bytes and more.
    await check_cuts(LlamaModel(name="smollm2", parallel=1, context=512), 1, tokens=200, reach=180)
