"""The outcome of work that nobody waits for any more."""

from __future__ import annotations

from typing import Protocol


class Outcome(Protocol):
    """A future or a task that is done."""

    def cancelled(self) -> bool: ...

    def exception(self) -> BaseException | None: ...


def unheeded(outcome: Outcome) -> None:
    """Looks at an outcome, for `add_done_callback`: asyncio would log an error that nobody has looked at."""
    if not outcome.cancelled():
        outcome.exception()
