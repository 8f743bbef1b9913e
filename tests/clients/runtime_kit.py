"""The JavaScript client in the runtimes that people have."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from node_kit import NODE, ROOT

SCRIPTS = Path(__file__).parent / "js"
MODULES = ROOT / ".venv" / "node" / "node_modules"

RUNTIMES = {
    "node": (NODE,),
    "deno": (str(MODULES / ".bin" / "deno"), "run", "--quiet", "--no-config", "--allow-net", "--allow-read"),
    "bun": (str(MODULES / ".bin" / "bun"), "run"),
}

PATIENCE_SECONDS = 60.0


def script(name: str, *arguments: str, runtime: str = "node") -> list[str]:
    """The command that runs one of the scripts beside this file."""
    return [*RUNTIMES[runtime], str(SCRIPTS / name), *arguments]


def outcome(name: str, *arguments: str, runtime: str = "node") -> Any:
    """What a script prints in the end, as JSON."""
    command = script(name, *arguments, runtime=runtime)
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return json.loads(done.stdout)
