"""The site of the documentation: `make docs`."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "docs" / "site" / "build.py"
FETCHED_BY_STYLE = re.compile(r"(?:@import\s+|url\()[\"']?((?:https?:)?//[^\"')\s]+)")


def build(script: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(script), str(out)], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("docs") / "site"
    made = build(BUILD, out)
    assert made.returncode == 0, made.stderr
    return out


class Fetched(HTMLParser):
    """What a browser fetches for a page without being asked to: scripts, styles, pictures, frames."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if url := found.get("src") or (found.get("href") if tag == "link" else None):
            self.urls.append(url)


def fetched(site: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(site.rglob("*")):
        if path.suffix == ".html":
            parser = Fetched()
            parser.feed(path.read_text("utf-8"))
            yield from ((path.name, url) for url in parser.urls)
        elif path.suffix == ".css":
            yield from ((path.name, url) for url in FETCHED_BY_STYLE.findall(path.read_text("utf-8")))


def test_every_page_is_on_the_site(site: Path) -> None:
    """All of docs, and what stands beside it; what nothing links to, or the navigation lacks, fails the build."""
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"]
    built = [path.relative_to(ROOT).with_suffix(".html").as_posix() for path in pages if path.name != "README.md"]
    assert len(built) > 50
    assert [page for page in [*built, "index.html", "docs/index.html"] if not (site / page).is_file()] == []


class Linked(HTMLParser):
    """Where a page's links lead to on the site, without the place in the page."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        target = dict(attrs).get("href")
        if tag == "a" and target is not None and not re.match("[a-z]+:|#", target):
            self.targets.append(target.partition("#")[0])


def test_the_site_is_read_from_a_disk(site: Path) -> None:
    """Every link, the logo's too, leads to a file by its name: no server is there that would look for an index."""
    lost: list[str] = []
    # The page for what is not there is a server's to show, at any path: its links begin at the server's root.
    for page in set(site.rglob("*.html")) - {site / "404.html"}:
        parser = Linked()
        parser.feed(page.read_text("utf-8"))
        lost += [f"{page.relative_to(site)}: {each}" for each in parser.targets if not (page.parent / each).is_file()]
    assert lost == []


def test_a_page_is_read_without_asking_another_host(site: Path) -> None:
    """Nor does it ask for a program that draws diagrams, which the theme would fetch from elsewhere."""
    found = list(fetched(site))
    assert len(found) > 500
    assert [each for each in found if re.match(r"(?:https?:)?//", each[1])] == []
    assert [path.name for path in site.rglob("*.html") if 'class="mermaid"' in path.read_text("utf-8")] == []


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("[gone](gone.md)", "links to gone.md, which is not there"),
        ("[here](README.md#nowhere)", "README.md"),
        ("[page](more.md)", "the navigation lacks more.md"),
    ],
)
def test_what_is_wrong_fails_the_build(tmp_path: Path, page: str, said: str) -> None:
    """A link to nothing, to a heading that is not there, and a page that the navigation lacks."""
    script = tmp_path / "docs" / "site" / "build.py"
    script.parent.mkdir(parents=True)
    for name in ("build.py", "style.css"):
        script.with_name(name).write_bytes(BUILD.with_name(name).read_bytes())
    config = BUILD.with_name("zensical.toml").read_text("utf-8")
    script.with_name("zensical.toml").write_text(re.sub(r"(?s)\nnav = \[.*?\n\]", '\nnav = ["README.md"]', config))
    icon = tmp_path / "src" / "tidegate" / "web" / "icon.svg"
    icon.parent.mkdir(parents=True)
    icon.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (tmp_path / "more.md").write_text("# More\n")
    (tmp_path / "README.md").write_text(f"# A page\n\n{page}\n")
    made = build(script, tmp_path / "out")
    assert made.returncode != 0
    assert said in made.stderr
    assert "Traceback" not in made.stderr
