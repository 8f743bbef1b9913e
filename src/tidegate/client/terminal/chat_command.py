"""`tidegate chat`: talks with a model in the terminal, or has one question answered."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TextIO

from tidegate.client import Client
from tidegate.client.terminal.chat import Chat
from tidegate.client.terminal.prompt import Prompt
from tidegate.client.terminal.screen import Screen, standard_screen
from tidegate.client.terminal.server import in_use, server_url
from tidegate.client.terminal.talk import Talk
from tidegate.client.terminal.unicode import sendable
from tidegate.errors import ConfigError, NotFound

FAILED = 1


def run(url: str, api_key: str, *, prompt: str | None, model: str | None) -> int:
    """Has a prompt answered, or talks where there is none and a person sits at the terminal; returns the exit code.

    Raises `TidegateError` where the server refuses, and `ConfigError` for what is wrong on the command line.
    """
    place, screen = server_url(url), standard_screen()
    glance = Client(place, api_key, attempts=0)
    question = None if prompt is None and _somebody_types() and sys.stdout.isatty() else _question(prompt)
    with in_use():
        models = glance.models()
    chosen = _chosen(models, model, place)
    patient, parting = Client(place, api_key, attempts=None), Client(place, api_key)
    chat = Chat(patient, glance, parting, screen, models, chosen, time.monotonic)
    with in_use():
        if question is not None:
            return _answered(chat, question, screen)
        screen.remark(f"{chosen}{_hint(models, model)} at {place}; /help says more, Ctrl-D ends")
        try:
            Talk(chat, screen, Prompt(), time.monotonic).run()
        finally:
            chat.leave()
        return 0


def _answered(chat: Chat, question: str, screen: Screen) -> int:
    try:
        completed = chat.ask(question)
    except KeyboardInterrupt:
        screen.say("the answer was stopped" if chat.leave() else "left; the server may go on with the answer")
        raise
    finally:
        chat.leave()
    if chat.stopped:
        raise KeyboardInterrupt
    return 0 if completed else FAILED


def _question(prompt: str | None) -> str:
    """The prompt, and below it what comes through a pipe: a file to be asked about, say. Raises `ConfigError`."""
    piped = "" if _somebody_types() and prompt is not None else _read()
    question = "\n\n".join(part for part in (sendable(prompt or "").strip(), piped.strip()) if part)
    if not question:
        raise ConfigError("there is no question: give one as PROMPT, or through a pipe")
    return question


def _somebody_types() -> bool:
    return _stdin() is not None and sys.stdin.isatty()


def _read() -> str:
    stdin = _stdin()
    return "" if stdin is None else stdin.buffer.read().decode("utf-8", "replace")


def _stdin() -> TextIO | None:
    # None where it was closed before the program began, which typeshed leaves out.
    return sys.stdin


def _chosen(models: Sequence[str], wanted: str | None, place: str) -> str:
    if not models:
        raise NotFound(f"{place} has no models")
    if wanted is not None and wanted not in models:
        raise ConfigError(f"--model {wanted}: {place} has no model of this name, only {', '.join(models)}")
    return wanted or models[0]


def _hint(models: Sequence[str], wanted: str | None) -> str:
    return f", the first of {len(models)} models" if wanted is None and len(models) > 1 else ""
