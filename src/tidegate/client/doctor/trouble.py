"""Why an examination, or a part of it, cannot go on."""

from __future__ import annotations

from tidegate.client.doctor.answer import Answer
from tidegate.client.doctor.finding import Code
from tidegate.core.notices import CAPACITY, DRAINING

REASONS = {CAPACITY: "a limit is used up", DRAINING: "it is about to stop"}


class Blocked(Exception):
    """What was found keeps the rest from being measured."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message


class Unmeasured(Exception):
    """A measurement was not possible, which says nothing of the deployment; the message has the reason."""


class SentAway(Unmeasured):
    """The server has ended an event stream, and said so; `after_s` is when to come back, where that is known."""

    def __init__(self, reason: object = "", after_ms: object = None) -> None:
        because = REASONS.get(str(reason), "it said no reason")
        super().__init__(f"tidegate sent a reader away: {because}")
        self.after_s = after_ms / 1000 if isinstance(after_ms, int) and 0 <= after_ms < 3_600_000 else None


class Unanswered(Exception):
    """A call got another answer than the one that was expected."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.said)
        self.answer = answer
