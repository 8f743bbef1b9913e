"""Talks with whoever sits at the terminal: reads questions and commands, until there are no more."""

from __future__ import annotations

from collections.abc import Callable

from tidegate.client import TidegateError
from tidegate.client.terminal.chat import Chat
from tidegate.client.terminal.commands import HELP, command_in
from tidegate.client.terminal.prompt import Prompt
from tidegate.client.terminal.screen import Screen
from tidegate.client.terminal.unicode import sendable

MOMENT_SECONDS = 0.5
"""Whoever presses Ctrl-C twice means the answer, and not the prompt that has come in between."""


class Talk:
    """Has every question answered by a chat, and obeys commands. `clock` tells seconds."""

    def __init__(self, chat: Chat, screen: Screen, prompt: Prompt, clock: Callable[[], float]) -> None:
        self._chat = chat
        self._screen = screen
        self._prompt = prompt
        self._clock = clock
        self._stopped_until = clock()
        self._does: dict[str, Callable[[str], None]] = {
            "/model": self._take_model,
            "/models": self._list_models,
            "/new": self._begin_anew,
            "/help": self._help,
            "": self._unknown,
        }

    def run(self) -> None:
        """Returns at the end of input, or where the end was asked for. Raises `KeyboardInterrupt`, as `Prompt` does."""
        while (typed := self._read()) is not None:
            command = command_in(typed)
            if command is None:
                self._ask(sendable(typed.strip()))
            elif command.name == "/quit":
                return
            else:
                self._does[command.name](command.argument)

    def _read(self) -> str | None:
        while True:
            try:
                typed = self._prompt.read()
            except KeyboardInterrupt:
                if self._clock() >= self._stopped_until:
                    raise
            else:
                self._stopped_until = self._clock()
                return typed

    def _ask(self, question: str) -> None:
        try:
            self._chat.ask(question)
        except TidegateError as error:
            self._screen.say(error.message)
        except KeyboardInterrupt:
            self._screen.say("left; what has come of the answer stays in the conversation")
        if self._chat.stopped:
            self._stopped_until = self._clock() + MOMENT_SECONDS

    def _take_model(self, name: str) -> None:
        if name not in self._chat.models:
            self._screen.say(f"there is no model {name!r}; /models lists them")
            return
        self._chat.model = name
        self._screen.remark(f"{name} answers from now on")

    def _list_models(self, _: str) -> None:
        for name in self._chat.models:
            self._screen.text(f"{'*' if name == self._chat.model else ' '} {name}\n")

    def _begin_anew(self, _: str) -> None:
        self._chat.begin_anew()
        self._screen.remark("a new conversation")

    def _help(self, _: str) -> None:
        self._screen.text(f"{HELP}\n")

    def _unknown(self, name: str) -> None:
        self._screen.say(f"there is no command {name}: /help lists them; with a space before it, it is a question")
