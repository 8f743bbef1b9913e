"""Every upstream behaviour of the table, behind a real server: what the log, the client and the usage say."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from api_kit import call, fetch
from behaviour import QUESTION, Behaviour, Call
from behaviour_table import BEHAVIOURS
from behaviour_tools import MADE
from behaviour_upstream import RowUpstream, upstream

from tidegate import Tidegate
from tidegate.config import LimitSettings, Settings
from tidegate.providers.settings import OpenAIModel
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[tuple[str, RowUpstream]]:
    async with upstream({row.name: row for row in BEHAVIOURS}) as model:
        # Each row's request is its upstream's first.
        app = Tidegate(
            Settings(
                models=tuple(OpenAIModel(name=row.name, base_url=model.url, stall_timeout=5) for row in BEHAVIOURS),
                limits=LimitSettings(requests_per_minute=0),
            )
        )
        async with serving(app) as url:
            yield url, model
            await app.close()


@pytest.mark.parametrize("row", BEHAVIOURS, ids=[row.name for row in BEHAVIOURS])
async def test_log_client_and_usage_say_what_the_upstream_said(row: Behaviour, served: tuple[str, RowUpstream]) -> None:
    """Streamed, whole and native alike."""
    url, model = served
    await check_whole(row, url)
    # What was asked again without `stream_options` is not asked with them the next time.
    assert model.asked[row.name] == row.asked
    await check_streamed(row, url)
    await check_native(row, url)
    if row.error is not None:
        # What failed was asked for once each time.
        assert model.asked[row.name] == 3 * row.asked


def chat(row: Behaviour, **more: Any) -> dict[str, Any]:
    return {"model": row.name, "messages": [{"role": "user", "content": row.name + QUESTION}], **more}


async def check_whole(row: Behaviour, url: str) -> None:
    status, _, body = await fetch(f"{url}/v1/chat/completions", "POST", chat(row))
    if row.error is not None:
        assert status == row.error[1], body
        check_error(row, body["error"])
        return
    assert status == 200, body
    choice = body["choices"][0]
    message = choice["message"]
    check_message(row, message)
    assert row.message.items() <= message.items()
    assert row.choice.items() <= choice.items()
    assert row.head.items() <= body.items()
    assert choice["finish_reason"] == ("function_call" if "function_call" in message else row.finish)
    check_usage(row, body["usage"])


async def check_streamed(row: Behaviour, url: str) -> None:
    body = chat(row, stream=True, stream_options={"include_usage": True})
    async with call(f"{url}/v1/chat/completions", "POST", body) as answer:
        if answer.status != 200:
            assert row.error is not None
            assert answer.status == row.error[1]
            check_error(row, (await answer.json())["error"])
            return
        events = [event.data async for event in answer.events()]
    chunks = [json.loads(event) for event in events if event != "[DONE]"]
    message = joined(chunks)
    check_message(row, message)
    if row.error is not None:
        check_error(row, chunks[-1]["error"])
        assert events[-1] != "[DONE]"
        return
    finish = [each["choices"][0]["finish_reason"] for each in chunks if each["choices"]]
    assert [reason for reason in finish if reason] == ["function_call" if "function_call" in message else row.finish]
    assert [bool(each["choices"]) for each in chunks] == [True] * (len(chunks) - 1) + [False]
    check_usage(row, chunks[-1]["usage"])
    assert row.head.items() <= {name: value for each in chunks for name, value in each.items()}.items()


def joined(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """The message that the chunks add up to."""
    texts = {"content": "", "refusal": "", "reasoning_content": ""}
    calls: list[dict[str, Any]] = []
    legacy: dict[str, str] = {}
    for each in chunks:
        delta = each["choices"][0]["delta"] if each.get("choices") else {}
        for name in texts:
            texts[name] += delta.get(name) or ""
        for key, value in delta.get("function_call", {}).items():
            legacy[key] = legacy.get(key, "") + value
        for fragment in delta.get("tool_calls", ()):
            if fragment["index"] == len(calls):
                calls.append(fragment)
            else:
                assert not fragment.keys() & {"id", "type"}
                calls[fragment["index"]]["function"]["arguments"] += fragment["function"]["arguments"]
    return {**texts, "tool_calls": calls, **({"function_call": legacy} if legacy else {})}


async def check_native(row: Behaviour, url: str) -> None:
    body = {"model": row.name, "prompt": row.name + QUESTION}
    status, headers, snapshot = await fetch(f"{url}/v1/streams", "POST", body)
    assert (snapshot["text"], snapshot["reasoning"]) == (row.text + row.refusal, row.reasoning)
    assert alike([(each["id"], each["name"], each["arguments"]) for each in snapshot["tool_calls"]], row.calls)
    async with call(f"{url}{headers['location']}/events") as answer:
        *_, last = [event async for event in answer.events()]
    if row.error is not None:
        assert (status, snapshot["status"], last.event) == (row.error[1], "failed", "failed")
        check_error(row, snapshot["error"])
        if row.usage is not None:
            counted = snapshot["usage"]
            assert (counted["prompt_tokens"], counted["completion_tokens"]) == row.usage
        return
    assert (status, snapshot["status"], last.event) == (200, "completed", "completed")
    assert snapshot["finish_reason"] == row.finish
    check_usage(row, snapshot["usage"])
    assert json.loads(last.data)["usage"] == snapshot["usage"]


def check_message(row: Behaviour, message: dict[str, Any]) -> None:
    assert (message["content"] or "", message["refusal"] or "") == (row.text, row.refusal)
    assert message.get("reasoning_content", "") == row.reasoning
    functions = [
        (each["id"], each["function"]["name"], each["function"]["arguments"]) for each in message.get("tool_calls", ())
    ]
    if legacy := message.get("function_call"):
        functions.append((MADE, legacy["name"], legacy["arguments"]))
    assert alike(functions, row.calls)


def check_error(row: Behaviour, error: dict[str, Any]) -> None:
    assert row.error is not None
    assert error["code"] == row.error[0], error
    assert row.words in error["message"]


def check_usage(row: Behaviour, counted: dict[str, Any]) -> None:
    wanted = row.usage or (len(row.name + QUESTION) // 4, row.pieces)
    assert (counted["prompt_tokens"], counted["completion_tokens"]) == wanted
    assert counted.get("estimated", False) is (row.usage is None)
    assert row.details.items() <= {**counted, **counted.get("details", {})}.items()


def alike(found: list[Call], wanted: tuple[Call, ...]) -> bool:
    """The same calls; an id that was made is one of its own."""
    made = [id for id, *_ in found if id.startswith(MADE) and len(id) > len(MADE)]
    told = [
        (MADE if wanted_id == MADE else id, *rest) for (id, *rest), (wanted_id, *_) in zip(found, wanted, strict=False)
    ]
    return told == list(wanted) and len(found) == len(wanted) and len(set(made)) == len(made)
