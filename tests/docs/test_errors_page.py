"""docs/errors.md has every code that is answered, and no other one."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from document_kit import named, rows, text_of

from tidegate import errors
from tidegate.errors import ConfigError, InUse, TidegateError, UpstreamRefused

ROOT = Path(__file__).parents[2]
HEADS = ("code", "status", "repeat", "means", "do")
UNLIKE = {UpstreamRefused: ("the upstream's own", "by status"), ConfigError: ("exit code 2", "no")}
UNLIKE[InUse] = ("exit code 1", "no")


def narrower(kind: type[TidegateError]) -> Iterator[type[TidegateError]]:
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            yield each
            yield from narrower(each)


def given_codes() -> Iterator[str]:
    """The codes that the source writes into an `UpstreamRefused` by itself."""
    for path in (ROOT / "src" / "tidegate" / "providers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="UpstreamRefused"), keywords=keywords):
                    yield from (
                        each.value.value
                        for each in keywords
                        if each.arg == "code" and isinstance(each.value, ast.Constant)
                    )
                case _:
                    pass


def test_every_error_is_on_the_page_with_its_status_and_whether_to_repeat_it() -> None:
    """And no other one, but for the codes that a provider writes by itself."""
    written = {named(code)[0]: (status, repeat) for code, status, repeat, *_ in rows("errors.md", *HEADS)}
    known = {
        kind.code: UNLIKE.get(kind, (str(kind.status), "yes" if kind.retryable else "no"))
        for kind in (TidegateError, *narrower(TidegateError))
    }
    of_providers = set(given_codes()) - known.keys()
    assert of_providers
    assert {code: told for code, told in written.items() if code not in of_providers} == known
    assert of_providers <= written.keys()


def test_a_code_has_one_row_and_says_what_to_do() -> None:
    """Nobody has to read two, and no row is left half written."""
    found = list(rows("errors.md", *HEADS))
    assert [code for code, count in Counter(row[0] for row in found).items() if count > 1] == []
    assert [row for row in found if "" in row] == []


def test_the_page_names_no_setting_that_does_not_exist() -> None:
    """The settings that it tells operators to change are those of the configuration."""
    settings = set(re.findall(r"`((?:limits|store|server|auth|delivery)\.\w+)`", text_of("errors.md")))
    page = text_of("configuration.md")
    assert settings
    assert [each for each in settings if f"| `{each.partition('.')[2]}` |" not in page] == []
