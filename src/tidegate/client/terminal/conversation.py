"""A conversation with a model: what was said, and what goes along with the next question. Pure."""

from __future__ import annotations

from typing import Any

from tidegate.client.terminal.unicode import sendable


class Conversation:
    """Questions and their answers. A question that was not answered is not kept: models expect turns."""

    def __init__(self) -> None:
        self._turns: list[tuple[str, str]] = []

    def request(self, question: str, model: str) -> dict[str, Any]:
        """The body of the call that asks a model this, with all that was said before."""
        said = [("user", question)]
        for asked, answered in reversed(self._turns):
            said += [("assistant", answered), ("user", asked)]
        messages = [{"role": role, "content": text} for role, text in reversed(said)]
        return {"model": model, "messages": messages}

    def keep(self, question: str, answer: str) -> None:
        """Keeps a question with its answer, or with what there is of it."""
        if answer:
            self._turns.append((question, sendable(answer)))

    def clear(self) -> None:
        """Forgets what was said."""
        self._turns.clear()
