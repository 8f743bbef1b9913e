"""The main upstream behaviours, as unmodified OpenAI clients of several versions tell of them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from behaviour import QUESTION, Behaviour
from behaviour_table import MAIN
from behaviour_tools import MADE
from behaviour_upstream import upstream

from tidegate import Tidegate
from tidegate.config import LimitSettings, Settings
from tidegate.providers.settings import OpenAIModel
from tidegate.testing.server import serving

pytestmark = pytest.mark.anyio

SDK = Path(__file__).parent / "sdk"
VENV = Path(__file__).parents[2] / ".venv"
NAMES = json.dumps([row.name for row in MAIN])


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    async with upstream({row.name: row for row in MAIN}) as model:
        models = tuple(OpenAIModel(name=row.name, base_url=model.url) for row in MAIN)
        app = Tidegate(Settings(models=models, limits=LimitSettings(requests_per_minute=0)))
        async with serving(app) as url:
            yield f"{url}/v1"
            await app.close()


async def run(command: Sequence[str | Path], path: Path | None = None) -> dict[str, Any]:
    environ = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
    process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1, env=environ)
    async with asyncio.timeout(60):
        said, complaint = await process.communicate()
    assert process.returncode == 0, complaint.decode()
    return json.loads(said)


def check(row: Behaviour, got: dict[str, Any]) -> None:
    if row.error is not None:
        assert got["whole"] == [row.error[1], row.error[0]]
        assert got["streamed"] == [row.error[0]]
        return
    for told in (got["whole"], got["streamed"]):
        assert isinstance(told, dict), (row.name, told)
        assert (told["text"], told["refusal"], told["finish"]) == (row.text, row.refusal, row.finish)
        calls = [[id if id != MADE else told["calls"][place][0], *rest] for place, (id, *rest) in enumerate(row.calls)]
        assert told["calls"] == calls
        assert len({id for id, *_ in told["calls"]}) == len(calls)
    if row.usage is not None:
        assert tuple(got["usage"]) == row.usage


@pytest.mark.parametrize("version", ["1.109", "2.54", "newest"])
async def test_the_openai_python_package_tells_the_same(url: str, version: str) -> None:
    """Whole and through its accumulating stream helper: text, refusal, calls, reason, usage; an error raises."""
    path = None if version == "newest" else VENV / f"openai-{version}"
    found = await run([sys.executable, SDK / "behaviours.py", url, QUESTION, NAMES], path)
    for row in MAIN:
        check(row, found[row.name])


async def test_the_openai_npm_package_tells_the_same(url: str) -> None:
    """The same from JavaScript."""
    packages = VENV / "node" / "node_modules" / "x.js"
    found = await run([VENV / "bin" / "node", SDK / "behaviours.mjs", url, QUESTION, NAMES, packages])
    for row in MAIN:
        check(row, found[row.name])
