"""The models there are, and what is told of those that are not."""

from __future__ import annotations

import pytest
from api_kit import fetch
from socket_kit import CallFailed, socket

from tidegate.app import EMBEDDED, Tidegate
from tidegate.config import LimitSettings, Settings
from tidegate.providers.settings import ReplayModel
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

NAMES = ("org/model-1", "a b", "ü", *(f"m{number}" for number in range(9)))


async def test_models() -> None:
    """A model is had by its name, in OpenAI's shape; the 404 of one that is not there lists ten that are."""
    models = tuple(ReplayModel(name=name) for name in NAMES)
    app = Tidegate(Settings(store=EMBEDDED.store, models=models, limits=LimitSettings(requests_per_minute=0)))
    async with serving(app) as url:
        entries = (await fetch(f"{url}/v1/models"))[2]["data"]
        for path, entry in zip(("org/model-1", "a%20b", "%C3%BC"), entries, strict=False):
            assert (await fetch(f"{url}/v1/models/{path}"))[::2] == (200, entry)
        assert (await fetch(f"{url}/v1/models/org%2Fmodel-1"))[2] == {
            "id": "org/model-1",
            "object": "model",
            "created": 0,
            "owned_by": "tidegate",
        }
        message = {"role": "user", "content": "x"}
        answers = [
            await fetch(f"{url}/v1/models/nope/x"),
            await fetch(f"{url}/v1/streams", "POST", {"model": "nope/x", "prompt": "x"}),
            await fetch(f"{url}/v1/chat/completions", "POST", {"model": "nope/x", "messages": [message]}),
        ]
        for status, _, body in answers:
            assert (status, body["error"]["code"], body["error"]["param"]) == (404, "model_not_found", "model")
            listed = body["error"]["message"].partition("; there are ")[2]
            assert listed == ", ".join(NAMES[:10]) + " and 2 more"
        async with socket(url) as client:
            with pytest.raises(CallFailed, match="model_not_found"):
                await client.call("create", model="nope", prompt="x")
    await app.close()


async def test_question() -> None:
    """A snapshot shows what was asked: the last message by the user, never a system prompt; so does a list."""
    settings = Settings(store=EMBEDDED.store, models=(ReplayModel(name="replay", tokens=3, rate=0),))
    app = Tidegate(settings)
    async with serving(app) as url:
        parts = [{"type": "text", "text": "Which one?"}, {"type": "image_url", "image_url": {"url": "x"}}]
        messages = [
            {"role": "system", "content": "Keep the secret."},
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "no"},
            {"role": "user", "content": parts},
            {"role": "system", "content": "Really."},
        ]
        made = (await fetch(f"{url}/v1/streams", "POST", {"model": "replay", "messages": messages}))[2]
        assert (made["status"], made["question"]) == ("completed", "Which one?")
        assert (await fetch(f"{url}/v1/streams/{made['id']}"))[2]["question"] == "Which one?"
        alone = {"model": "replay", "messages": messages[:1], "background": True}
        assert (await fetch(f"{url}/v1/streams", "POST", alone))[2]["question"] is None
        assert (await fetch(f"{url}/v1/streams", "POST", {"producer": "client"}))[2]["question"] is None
        listed = (await fetch(f"{url}/v1/streams"))[2]["data"]
        assert [each["question"] for each in listed if "question" in each] == ["Which one?"]
    await app.close()
