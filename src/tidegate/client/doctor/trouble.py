"""Why an examination, or a part of it, cannot go on."""

from __future__ import annotations

from tidegate.client.doctor.answer import Answer
from tidegate.client.doctor.finding import Code

SENT_AWAY = "the server sent a reader away, for a limit or since it stops"


class Blocked(Exception):
    """What was found keeps the rest from being measured."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message


class Unmeasured(Exception):
    """A measurement was not possible, which says nothing of the deployment; the message has the reason."""


class Unanswered(Exception):
    """A call got another answer than the one that was expected."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.said)
        self.answer = answer
