from __future__ import annotations

import pytest

from tidegate.client.terminal.commands import COMMANDS, HELP, Command, command_in


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        ("/new", Command("/new")),
        ("/model  smollm2 ", Command("/model", "smollm2")),
        ("/modle x", Command("", "/modle")),
        ("/etc/passwd: what is it?", Command("", "/etc/passwd:")),
        (" /etc/passwd: what is it?", None),
        ("what is /new?", None),
    ],
)
def test_a_slash_begins_a_command(typed: str, command: Command | None) -> None:
    """A wrong one is not sent to a model; a space before it makes it a question."""
    assert command_in(typed) == command


def test_the_help_has_every_command() -> None:
    """In lines that fit into a small terminal."""
    assert all(usage in HELP for usage in COMMANDS)
    assert max(map(len, HELP.split("\n"))) <= 80
