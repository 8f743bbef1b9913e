"""The browser's client under Node: the vectors that every client must pass, and its own decisions."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ROOT / ".venv/bin/node"
NODE = str(OURS) if OURS.exists() else shutil.which("node") or "node"


def run(script: str) -> str:
    path = Path(__file__).parent / "js" / script
    done = subprocess.run([NODE, path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["sse", "backoff"])
def test_the_browser_client_passes_every_vector(name: str) -> None:
    """It decodes, and waits, as the server's own language does, wherever the bytes are cut."""
    vectors = json.loads((ROOT / f"conformance/{name}.json").read_text())
    assert run(f"{name}.mjs") == str(len(vectors))


def test_a_session_decides_without_a_connection() -> None:
    """Positions, gaps, reconnects and ends are decided by a pure object."""
    run("session.mjs")


def test_markdown_is_parsed_into_blocks() -> None:
    """Paragraphs, headings, lists and code come out as blocks, also while they are being written."""
    run("markdown.mjs")
