"""The programs that benchmarks need, built from source if there is a compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tidegate.errors import TidegateError

HERE = Path(__file__).parent
GO = "/usr/local/go/bin/go"
"""Where Go's install instructions unpack its archive, often outside the PATH."""

GO_ENVIRON = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly"}


class Programs:
    """Builds each program once, into `folder`. `baselines` has the sources of other servers, in a checkout only.

    `python` is an interpreter that may have the packages of the servers written in Python.
    """

    def __init__(self, folder: Path, baselines: Path, python: Path) -> None:
        self._folder = folder
        self._baselines = baselines
        self._python = python

    def load(self) -> Path:
        """The load generator. Raises `TidegateError` where there is no C compiler."""
        return self._own("load.c")

    def upstream(self) -> Path:
        """The model server. Raises `TidegateError` where there is no C compiler."""
        return self._own("upstream.c")

    def baseline(self, name: str) -> list[str | Path] | None:
        """The command that starts the server `name.c`, or that of the Go module `name`.

        A module without source of its own names a tool in its `go.mod`. None without its source, its compiler, or its
        dependencies, which are fetched as `go.sum` has them.
        """
        source = self._baselines / f"{name}.c"
        program = self._compiled(source) if source.is_file() else self._module(name)
        return None if program is None else [program]

    def python(self, name: str, package: str) -> list[str | Path] | None:
        """The command that starts `name.py`, which needs `package`; None without its source or the package."""
        source = self._baselines / f"{name}.py"
        return [self._python, source] if source.is_file() and self._has(package) else None

    def package(self, name: str) -> list[str | Path] | None:
        """The command that runs the package `name` itself; None where the interpreter does not have it."""
        return [self._python, "-m", name] if self._has(name) else None

    def _has(self, package: str) -> bool:
        look = [self._python, "-c", f"import importlib.util, sys; sys.exit(not importlib.util.find_spec({package!r}))"]
        return subprocess.run(look, capture_output=True, check=False).returncode == 0

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

    def _module(self, name: str) -> Path | None:
        go = shutil.which("go") or shutil.which(GO)
        module = self._baselines / name
        if go is None or not module.is_dir() or not _fetched(go, module):
            return None
        what = "." if any(module.glob("*.go")) else "tool"
        return self._made(name, [go, "build", "-o", self._folder / name, what], cwd=module)

    def _made(self, name: str, command: Sequence[str | Path], cwd: Path) -> Path:
        target = self._folder / name
        if not target.exists():
            environ = {**os.environ, **GO_ENVIRON, "GOPROXY": "off"}
            done = subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)
            if done.returncode:
                raise TidegateError(f"building {name} failed: {done.stderr.strip()}")
        return target


def _fetched(go: str, module: Path) -> bool:
    """Whether the module's dependencies, which its `go.sum` lists, are there."""
    if not (module / "go.sum").is_file():
        return True
    environ = {**os.environ, **GO_ENVIRON}
    return subprocess.run([go, "mod", "download"], cwd=module, env=environ, capture_output=True).returncode == 0
