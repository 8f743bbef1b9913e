"""Builds the documentation's site from what README.md leads to: `build.py OUT`.

The pages keep their places in the repository, so that their links hold on the site as well. Nothing is fetched.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).parent / "zensical.toml"
OWN = (Path(__file__).parent / "style.css", ROOT / "src" / "tidegate" / "web" / "icon.svg")
"""What the site has beside the pages."""

FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")
IMAGE = re.compile(r"!\[[^\]]*\]\((?!https?:)([^)\s]+)\)")
LOGO = re.compile(r'<a href="([^"]*)"(?= [^>]*\bmd-logo\b)')
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class Unlinked(Exception):
    """A link leads to nothing, or to nothing that the site can have."""


def linked(page: Path) -> Iterator[Path]:
    """The files that a page leads to, and the pictures it shows; folders are not among them."""
    text = FENCED.sub("", page.read_text("utf-8"))
    for target in (*(found[2] for found in LINK.finditer(text)), *(found[1] for found in IMAGE.finditer(text))):
        path = (page.parent / target).resolve()
        if not path.exists():
            raise Unlinked(f"{page.relative_to(ROOT)} links to {target}, which is not there")
        if path.is_file():
            yield path


def reached(start: Path) -> set[Path]:
    """All that can be reached from a page."""
    found, waiting = {start}, [start]
    while waiting:
        page = waiting.pop()
        fresh = set(linked(page)) - found if page.suffix == ".md" else set[Path]()
        found |= fresh
        waiting += fresh
    return found


def as_page(page: Path) -> str:
    """A page for the site. It has no folders to lead to, and no program that draws diagrams: both are told as text."""
    text = page.read_text("utf-8").replace("```mermaid", "```text")
    return LINK.sub(lambda link: link[1] if (page.parent / link[2]).is_dir() else link[0], text)


def assemble(source: Path) -> None:
    """Puts the pages and what they lead to into `source`, at their places, with the site's own files."""
    for path in reached(ROOT / "README.md"):
        copy = source / "pages" / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".md":
            copy.write_text(as_page(path), "utf-8")
        else:
            shutil.copyfile(path, copy)
    for path in OWN:
        shutil.copyfile(path, source / "pages" / path.name)
    shutil.copyfile(CONFIG, source / CONFIG.name)


def listed(entries: list[str | dict[str, object]]) -> Iterator[str]:
    """The pages that the navigation names."""
    for entry in entries:
        for page in [entry] if isinstance(entry, str) else entry.values():
            yield from [page] if isinstance(page, str) else listed(page)  # pyright: ignore[reportArgumentType]


def check_navigation(pages: set[str]) -> None:
    """Raises `Unlinked` where the navigation has other pages than those that can be reached."""
    shown = set(listed(tomllib.loads(CONFIG.read_text("utf-8"))["project"]["nav"]))
    if lacking := pages - shown:
        raise Unlinked(
            f"the navigation lacks {', '.join(sorted(lacking))}: give each a line in docs/site/{CONFIG.name}"
        )
    if unlinked := shown - pages:
        raise Unlinked(f"no page links to {', '.join(sorted(unlinked))}, which docs/site/{CONFIG.name} names")


def lead_home(site: Path) -> None:
    """Makes the logos lead to the first page by its name: theirs is a folder, which no server answers from a disk."""
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        page.write_text(LOGO.sub(lambda logo: f'<a href="{home(logo[1])}"', text), "utf-8")


def home(folder: str) -> str:
    """The first page, by the way to its folder."""
    return f"{folder.rstrip('/')}/index.html" if folder else "index.html"


def build(out: Path) -> int:
    """Builds the site into `out`, and fails on whatever Zensical warns of."""
    source = out.parent / f"{out.name}-source"
    for folder in (source, out):
        shutil.rmtree(folder, ignore_errors=True)
    assemble(source)
    check_navigation({path.relative_to(source / "pages").as_posix() for path in (source / "pages").rglob("*.md")})
    command = [sys.executable, "-m", "zensical", "build", "--strict", "-f", str(source / CONFIG.name)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode == 0:
        lead_home(source / "site")
        (source / "site").rename(out)
    else:
        said = COLOUR.sub("", made.stdout + made.stderr).partition("Traceback")[0]
        print(said, file=sys.stderr)  # noqa: T201
    return made.returncode


if __name__ == "__main__":
    try:
        sys.exit(build(Path(sys.argv[1]).absolute()))
    except Unlinked as error:
        sys.exit(f"build.py: {error}")
