"""What somebody who chats may type in place of a question. Pure."""

from __future__ import annotations

from dataclasses import dataclass

COMMANDS = {
    "/model NAME": "ask this model from now on",
    "/models": "list the models",
    "/new": "begin a new conversation",
    "/help": "show this",
    "/quit": "end, as Ctrl-D does",
}

HELP = "\n".join(
    [
        *(f"{usage:14}{does}" for usage, does in COMMANDS.items()),
        "",
        "Ctrl-C stops an answer; what came of it stays in the conversation.",
        "At an empty prompt it ends the program.",
        "A question that begins with / needs a space before it.",
    ]
)

_NAMES = frozenset(usage.partition(" ")[0] for usage in COMMANDS)


@dataclass(frozen=True)
class Command:
    """A command and what stands behind it; a `name` that is empty is no command that there is."""

    name: str
    argument: str = ""


def command_in(typed: str) -> Command | None:
    """The command that was typed, or None for a question."""
    if not typed.startswith("/"):
        return None
    name, _, argument = typed.strip().partition(" ")
    return Command(name, argument.strip()) if name in _NAMES else Command("", name)
