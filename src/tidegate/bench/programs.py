"""The programs that benchmarks need, built from source where there is a compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tidegate.errors import TidegateError

HERE = Path(__file__).parent
GO = "/usr/local/go/bin/go"
"""Where Go's own archive is unpacked by its instructions, often outside the PATH."""


class Programs:
    """Builds each program once, into `folder`. `baselines` has the sources of other servers, in a checkout only."""

    def __init__(self, folder: Path, baselines: Path) -> None:
        self._folder = folder
        self._baselines = baselines

    def load(self) -> Path:
        """The load generator. Raises `TidegateError` where there is no C compiler."""
        return self._own("load.c")

    def upstream(self) -> Path:
        """The model server. Raises `TidegateError` where there is no C compiler."""
        return self._own("upstream.c")

    def baseline(self, name: str) -> Path | None:
        """The server `name.c`, or that of the Go module `name`; None without its source or its compiler."""
        source = self._baselines / f"{name}.c"
        if source.is_file():
            return self._compiled(source)
        go = shutil.which("go") or shutil.which(GO)
        module = self._baselines / name
        if go is None or not module.is_dir():
            return None
        return self._made(name, [go, "build", "-o", self._folder / name, "."], cwd=module)

    def _own(self, name: str) -> Path:
        program = self._compiled(HERE / name)
        if program is None:
            raise TidegateError("the load generator is built when it is needed: install a C compiler (cc)")
        return program

    def _compiled(self, source: Path) -> Path | None:
        compiler = shutil.which("cc")
        if compiler is None:
            return None
        target = self._folder / source.stem
        return self._made(source.stem, [compiler, "-O2", "-o", target, source], cwd=self._folder)

    def _made(self, name: str, command: Sequence[str | Path], cwd: Path) -> Path:
        target = self._folder / name
        if not target.exists():
            # Nothing is fetched: the sources need the standard library only.
            environ = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
            done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
            if done.returncode:
                raise TidegateError(f"building {name} failed: {done.stderr.strip()}")
        return target
