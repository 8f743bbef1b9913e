"""What each provider makes of a request's parameters is what the table in docs/streams.md says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tidegate.core.events import Completed, GenerationRequest, Message
from tidegate.dialects.native import CreateStream
from tidegate.providers.llama import provider as llama
from tidegate.providers.openai.provider import OpenAIProvider
from tidegate.providers.python import PythonProvider
from tidegate.providers.replay import ReplayProvider
from tidegate.providers.settings import OpenAIModel, PythonModel, ReplayModel
from tidegate.testing.sink import RecordingSink
from tidegate.testing.upstream import FakeUpstream, chat

pytestmark = pytest.mark.anyio

DOCUMENT = Path(__file__).parents[2] / "docs" / "streams.md"
HOW_AND_WHERE = {"model", "prompt", "messages", "stream", "background", "on_disconnect", "batch", "metadata"}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
VALUES: dict[str, Any] = {
    "max_tokens": 2,
    "stop": (" three",),
    "seed": 5,
    "temperature": 0.5,
    "top_p": 0.25,
    "tools": TOOLS,
    "tool_choice": "auto",
    "response_format": {"type": "json_object"},
    "extra": {"top_k": 7, "id_slot": 3},
}


def table() -> dict[str, dict[str, str]]:
    """What stands in the cells, by parameter and provider."""
    lines = DOCUMENT.read_text().partition("### What models make of a request")[2].partition("\n#")[0].splitlines()
    head, _, *rows = ([cell.strip(" `") for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|"))
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows}


TABLE = table()
CELLS = [(parameter, provider, cell) for parameter, row in TABLE.items() for provider, cell in row.items()]
every_cell = pytest.mark.parametrize(("parameter", "provider", "cell"), CELLS)


def wanted(parameter: str) -> GenerationRequest:
    return CreateStream(model="m", prompt="x", **{parameter: VALUES[parameter]}).request()


def test_every_parameter_has_a_row() -> None:
    """Whatever a request can ask of a model is in the table."""
    assert set(TABLE) == set(CreateStream.__struct_fields__) - HOW_AND_WHERE == set(VALUES)


@every_cell
async def test_the_table(parameter: str, provider: str, cell: str) -> None:
    """Every cell holds."""
    request = wanted(parameter)
    if provider == "replay":
        await check_replay(parameter, cell, request)
    elif provider == "python":
        assert await given(request) == request
        assert cell == "given"
    else:
        await check_upstream(parameter, provider, cell, request)


async def check_replay(parameter: str, cell: str, request: GenerationRequest) -> None:
    plain = await replayed(GenerationRequest(model="m", messages=(Message(role="user", content="x"),)))
    found = await replayed(request)
    # The same text with any seed: with the same one, too.
    assert (found == plain) is (cell == "without effect" or parameter == "seed")
    assert found == await replayed(request)


async def replayed(request: GenerationRequest) -> tuple[str, Completed]:
    provider = ReplayProvider(ReplayModel(name="m", text="one two three four", tokens=4, rate=0))
    await provider.start()
    sink = RecordingSink()
    await provider.generate(request, sink)
    end = sink.events[-1]
    assert isinstance(end, Completed)
    return sink.text, end


async def given(request: GenerationRequest) -> GenerationRequest:
    seen: list[GenerationRequest] = []

    async def target(request: GenerationRequest) -> Any:
        seen.append(request)
        yield "x"

    provider = PythonProvider(PythonModel(name="m", target=target))
    await provider.start()
    await provider.generate(request, RecordingSink())
    return seen[0]


async def check_upstream(parameter: str, provider: str, cell: str, request: GenerationRequest) -> None:
    """llama.cpp has OpenAI's names, and is spoken to by the same provider; it obeys them (`test_llama`)."""
    assert cell == ("passed on" if provider == "openai" else "in part" if parameter == "extra" else "obeyed")
    value = VALUES[parameter]
    expected = value if parameter == "extra" else {parameter: list(value) if parameter == "stop" else value}
    if provider == "llama":
        expected = {name: value for name, value in expected.items() if name != "id_slot"}
        request = llama.asked(request)
    sent = await upstreamed(request)
    assert {name: sent.get(name) for name in expected} == expected
    assert ("id_slot" in sent) is ("id_slot" in expected)


async def upstreamed(request: GenerationRequest) -> dict[str, Any]:
    async with FakeUpstream(chat("x")) as upstream:
        provider = OpenAIProvider(OpenAIModel(name="m", base_url=upstream.url), api_key="")
        await provider.start()
        await provider.generate(request, RecordingSink())
        await provider.close()
        return upstream.requests[0].json
