"""docs/command-line.md has every command, option, exit code and environment variable, and no other one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import click
import pytest
from document_kit import DOCS, cells, named, rows, text_of

from tidegate import cli

COMMANDS = cli.commands.commands
KEY = re.compile(r'^[A-Z_]+ = "([A-Z]+_API_KEY)"$', re.MULTILINE)
HEADING = re.compile(r"^## `tidegate (\w+)`$", re.MULTILINE)


def section(command: str) -> str:
    return text_of("command-line.md").partition(f"\n## `tidegate {command}`\n")[2].partition("\n## ")[0]


def options(command: str) -> dict[str, str]:
    """The options of a command as the page has them, with their defaults."""
    _, _, table = section(command).partition("| option | default | what it does |\n")
    lines = iter(table.split("\n")[1:])
    return {named(row[0])[0]: row[1] for row in iter(lambda: cells(next(lines)), None)}


def shown(parameter: click.Parameter) -> str:
    """An option, or an argument in the words of its command's help, without the alternative."""
    if isinstance(parameter, click.Option):
        return next(each for each in parameter.opts if each.startswith("--"))
    return parameter.make_metavar(click.Context(cli.commands)).strip("[]").partition("|")[0]


def test_every_command_is_on_the_page() -> None:
    """And no other one."""
    assert sorted(HEADING.findall(text_of("command-line.md"))) == sorted(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_on_the_page(command: str) -> None:
    """And no other one."""
    assert sorted(options(command)) == sorted(map(shown, COMMANDS[command].params))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_default_is_that_of_the_program(command: str) -> None:
    """Where the command itself has one; those of settings are on the page of the configuration."""
    told = options(command)
    for parameter in COMMANDS[command].params:
        default = told[shown(parameter)]
        if parameter.required:
            assert default == "required"
        elif isinstance(parameter, click.Option) and parameter.show_default:
            own = parameter.default
            assert named(default) == (
                list(map(str, own)) if isinstance(own, Sequence) and not isinstance(own, str) else [str(own)]
            )


def test_every_exit_code_is_on_the_page() -> None:
    """Those of the program, and 0."""
    codes = [code for code, _ in rows("command-line.md", "code", "means")]
    assert codes == [str(each) for each in (0, cli.FAILED, cli.MISUSED, cli.INTERRUPTED)]


def test_the_keys_of_clients_are_on_the_page() -> None:
    """By the names of their environment variables; the others are those of the settings and of the system."""
    variables = {named(variable)[0] for variable, *_ in rows("command-line.md", "variable", "read by", "holds")}
    sources = (path.read_text("utf-8") for path in (DOCS.parent / "src" / "tidegate").rglob("*.py"))
    keys = {name for source in sources for name in KEY.findall(source)}
    assert variables == {*keys, "XDG_STATE_HOME", "TIDEGATE_SECTION__KEY", "SSL_CERT_FILE", "NO_COLOR"}


@pytest.mark.parametrize("page", ["../README.md", *sorted(path.name for path in DOCS.glob("*.md"))])
def test_every_command_that_a_page_shows_exists(page: str) -> None:
    """`tidegate COMMAND` in code is one of the program's."""
    shown = set(re.findall(r"(?:^\$ (?:[A-Z_]+=\S+ )*|`|bin/)tidegate ([a-z]+)", text_of(page), re.MULTILINE))
    assert shown <= {*COMMANDS}
