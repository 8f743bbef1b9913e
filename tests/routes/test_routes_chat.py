from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest
from routes_kit import client_of, code_of, events_of

from tidegate import Tidegate
from tidegate.core.events import GenerationRequest

pytestmark = pytest.mark.anyio

ASKED = {"model": "tide", "messages": [{"role": "user", "content": "x"}]}


async def answer(request: GenerationRequest) -> AsyncIterator[str]:
    if request.prompt == "fail":
        raise RuntimeError("broken")
    yield "ebb "
    yield "and flow"


async def test_a_whole_answer_is_a_chat_completion() -> None:
    """And a stream, by which the native calls find it."""
    async with client_of(Tidegate(models={"tide": answer})) as client:
        whole = await client.post("/v1/chat/completions", json=ASKED)
        assert whole.json()["choices"][0]["message"]["content"] == "ebb and flow"
        found = (await client.get(f"/v1/streams/{whole.headers['tidegate-stream']}")).json()
    assert (found["status"], found["text"]) == ("completed", "ebb and flow")


async def test_a_streamed_answer_has_nothing_that_sdks_choke_on() -> None:
    """No ids, no `retry:`, no event without data, and `[DONE]` at the end."""
    async with client_of(Tidegate(models={"tide": answer})) as client:
        streamed = await client.post("/v1/chat/completions", json={**ASKED, "stream": True})
    assert not {"id", "retry", "event"} & {line.partition(":")[0] for line in streamed.text.splitlines()}
    *chunks, done = [event.data for event in events_of(streamed)]
    deltas = [json.loads(chunk)["choices"][0]["delta"].get("content") or "" for chunk in chunks]
    assert ("".join(deltas), done) == ("ebb and flow", "[DONE]")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_refused_request_is_no_200(stream: bool) -> None:
    """Not even where it is streamed: SDKs take the status for the answer."""
    messages = [{"role": "user", "content": "fail"}]
    async with client_of(Tidegate(models={"tide": answer})) as client:
        failed = await client.post("/v1/chat/completions", json={**ASKED, "messages": messages, "stream": stream})
        unknown = await client.post("/v1/chat/completions", json={**ASKED, "model": "ebb", "stream": stream})
    assert failed.status_code >= 500
    assert code_of(unknown) == (404, "model_not_found")
