"""Whether Go has compiled a baseline: from nothing that takes the minute that the suite does not have."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tidegate.bench.programs import GO, GO_ENVIRON

STALE = ("list", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}")


def is_compiled(module: Path, what: str = ".") -> bool:
    """Whether the program only has to be linked: no package but its last is missing from what Go has compiled."""
    go = shutil.which("go") or shutil.which(GO)
    if go is None:
        return False
    environ = {**os.environ, **GO_ENVIRON, "GOPROXY": "off"}
    done = subprocess.run([go, *STALE, what], cwd=module, env=environ, capture_output=True, check=False)
    return done.returncode == 0 and len(done.stdout.split()) <= 1
