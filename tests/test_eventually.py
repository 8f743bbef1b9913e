from __future__ import annotations

import asyncio

import pytest
from eventually_kit import eventually

pytestmark = pytest.mark.anyio


async def test_a_fact_is_waited_for() -> None:
    """Whether it is told by a function or by a coroutine function."""
    answers = iter([False, False, True, None, "yes"])

    async def truth() -> object:
        return next(answers)

    assert await eventually(lambda: next(answers)) >= 0
    await eventually(truth)
    assert list(answers) == []


async def test_a_fact_that_does_not_come_is_named() -> None:
    """The failure shows the line that waited and what was seen last."""
    count = 0
    with pytest.raises(AssertionError, match=r"not within 0\.01 s: .*lambda: count > 1.* \(last answer: False\)"):
        await eventually(lambda: count > 1, within=0.01)


async def test_a_question_that_hangs_has_the_same_deadline() -> None:
    """A coroutine that never answers does not hold up the suite."""
    with pytest.raises(AssertionError, match="last answer: None"):
        await eventually(asyncio.Event().wait, within=0.01)


async def test_a_timeout_of_the_question_is_its_own() -> None:
    """What is raised while asking is shown as it was raised."""

    async def truth() -> bool:
        raise TimeoutError("of the socket")

    with pytest.raises(TimeoutError, match="of the socket"):
        await eventually(truth)
