"""Unmodified OpenAI clients, of several versions, in front of a real server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tidegate.testing.process import running

HERE = Path(__file__).parent
VENV = HERE.parents[1] / ".venv"
CONFIG = """
[[models]]
name = "replay"
provider = "replay"
text = "one two three four five six"
tokens = 6
rate = 0

[[models]]
name = "broken"
provider = "python"
target = "broken_model:answer"
"""
BROKEN = """
async def answer(request):
    yield "half an "
    raise RuntimeError("on purpose")
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("sdk")
    (folder / "tidegate.toml").write_text(CONFIG)
    (folder / "broken_model.py").write_text(BROKEN)
    with running(cwd=folder) as server:
        yield server.url


def run(command: Sequence[str | Path], path: Path | None = None) -> dict[str, object]:
    environ = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
    done = subprocess.run(command, capture_output=True, text=True, env=environ, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check(got: dict[str, object]) -> None:
    assert got["whole"] == got["streamed"] == "one two three four five"
    assert got["usage"] == got["streamed_usage"] == 6
    assert got["models"] == ["replay", "broken"]
    assert got["errors"] == {"nope": ["NotFoundError", "model_not_found"], "broken": ["APIError", "provider_error"]}


@pytest.mark.parametrize("version", ["1.109", "2.54", "newest"])
def test_the_openai_python_package_chats(url: str, version: str) -> None:
    """Streamed, whole and through its stream helper; a broken answer raises, a wrong model is its own class."""
    path = None if version == "newest" else VENV / f"openai-{version}"
    got = run([sys.executable, HERE / "sdk" / "chat.py", f"{url}/v1"], path)
    assert version == "newest" or str(got["version"]).startswith(version)
    assert got["helped"] == "one two three four five six"
    check(got)


def test_the_openai_npm_package_chats(url: str) -> None:
    """The same from JavaScript."""
    packages = VENV / "node" / "node_modules" / "x.js"
    check(run([VENV / "bin" / "node", HERE / "sdk" / "chat.mjs", f"{url}/v1", packages]))
