"""The npm package `tidegate`: what is in it, what it weighs, and that it can be used."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from node_kit import CLIENT, NODE, ROOT
from package_kit import project, run
from runtime_kit import MODULES, SCRIPTS

from tidegate.testing.process import running

CONFIG = """
[store]
url = "memory://"
[[models]]
name = "replay"
provider = "replay"
tokens = 20
rate = 0
[[models]]
name = "smollm2"
provider = "replay"
tokens = 20
rate = 0
"""

SHOWN = re.compile(r"^```(jsx?)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""What a page shows as a program."""

CLIENT_BYTES = 6 * 1024
HOOK_BYTES = 2 * 1024


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("npm"))


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "tidegate.toml").write_text(CONFIG)
    with running("--config", "tidegate.toml", cwd=tmp_path) as server:
        yield server.url


def weight(module: str) -> int:
    """Bytes of a module with all that it imports but React, minified and gzipped."""
    command = [str(MODULES / ".bin" / "esbuild"), module, "--bundle", "--minify", "--format=esm", "--external:react"]
    bundled = subprocess.run(command, cwd=CLIENT, capture_output=True, check=True).stdout
    return len(gzip.compress(bundled, 9))


def test_the_client_is_small() -> None:
    """Under 6 KB with all that it imports; with the hooks less than 2 KB more."""
    client = weight("tidegate.js")
    assert client < CLIENT_BYTES
    assert weight("react.js") - client < HOOK_BYTES


def test_the_package_has_what_a_user_needs(home: Path) -> None:
    """Every module with its types, a page to read and the licence; nothing else, and React only for whoever has it."""
    folder = home / "node_modules" / "tidegate"
    modules = {path.stem for path in CLIENT.glob("*.js")}
    assert {path.stem for path in folder.glob("*.js")} == modules
    assert {path.name for path in (folder / "types").iterdir()} == {f"{name}.d.ts" for name in modules}
    others = {path.name for path in folder.iterdir() if path.suffix != ".js"}
    assert others == {"package.json", "README.md", "LICENSE", "types"}
    manifest = json.loads((folder / "package.json").read_text())
    assert "dependencies" not in manifest
    assert manifest["peerDependenciesMeta"] == {"react": {"optional": True}}


def test_the_page_that_npm_shows_stands_alone() -> None:
    """It has no links into the repository, which lead nowhere there."""
    links = re.findall(r"\]\(([^)]*)\)", (CLIENT / "README.md").read_text("utf-8"))
    assert [link for link in links if not link.startswith("https://")] == []


def test_a_typescript_user_compiles_and_runs(home: Path, url: str) -> None:
    """Strictly, against the types that are shipped; a mistake is found by the compiler, not by the user's users."""
    for name in ("user.ts", "user-react.ts"):
        shutil.copy(SCRIPTS / name, home)
    shutil.copy(SCRIPTS / "user.tsconfig.json", home / "tsconfig.json")
    run(["tsc", "-p", "."], home)
    assert json.loads(run([NODE, "out/user.js", url], home)) == {
        "end": "completed",
        "same": True,
        "first": "connecting",
        "isStopped": False,
        "left": "AbortError",
        "status": 404,
    }


def test_what_the_pages_show_works(home: Path, url: str) -> None:
    """Each program of the documentation as it stands, but for the address of the server."""
    programs: dict[str, list[str]] = {"js": [], "jsx": []}
    for page in ("clients/js/README.md", "docs/browser.md"):
        for language, program in SHOWN.findall((ROOT / page).read_text("utf-8")):
            name = f"./shown-{len(programs[language])}.{language}"
            (home / name).write_text(program.replace("http://127.0.0.1:8000", url))
            programs[language].append(name)
    assert all(programs.values())
    imported = f"await Promise.all({programs['js']}.map((each) => import(each)));"
    (home / "shown.js").write_text(f"globalThis.show = () => {{}};{imported}")
    run([NODE, "shown.js"], home)
    run(["esbuild", *programs["jsx"], "--bundle", "--jsx=automatic", "--outdir=shown"], home)
