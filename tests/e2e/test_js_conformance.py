"""What the pages make of an answer's text, under Node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ROOT / ".venv/bin/node"
NODE = str(OURS) if OURS.exists() else shutil.which("node") or "node"


def run(script: str) -> str:
    path = Path(__file__).parent / "js" / script
    done = subprocess.run([NODE, path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_markdown_is_parsed_into_blocks() -> None:
    """Paragraphs, headings, lists and code come out as blocks, also while they are being written."""
    run("markdown.mjs")
