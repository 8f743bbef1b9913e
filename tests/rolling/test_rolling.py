from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from reading import Reading, Wait
from rollout import update
from update_plan import Plan
from update_report import Outcome, lines

pytestmark = pytest.mark.anyio

SMALL = Plan(
    streams=20, readers=5, replicas=2, rate=10, tokens=60, short=30, pre_stop=0.5, lag=0.25, probe=0.1, lease=20
)

PAUSE = 0.25


async def test_a_rolling_update_loses_nothing(redis_url: str, tmp_path: Path) -> None:
    """Whoever reads has every event once and in order, and every stream its whole text, though all servers are replaced
    meanwhile. How long readers wait is measured by `make rolling`, where nothing else needs the machine."""
    outcome = await update(SMALL, redis_url, tmp_path)
    assert list(outcome.problems) == [], "\n".join(lines(outcome))
    assert outcome.streams >= SMALL.streams
    assert [code for _, _, code in outcome.pods] == [0, 0]
    assert outcome.reconnects >= SMALL.streams, "readers have come to other servers"


def taken(*events: tuple[str, str, int, float]) -> Reading:
    reading = Reading("r", PAUSE)
    for kind, text, offset, at in events:
        reading.note("told", at - 0.1)
        reading.take(kind, msgspec.json.encode({"text": text}), f"e-{offset}", at)
    return reading


STARTED = ("started", "", 1, 0.0)
END = ("completed", "", 4, 0.75)


@pytest.mark.parametrize(
    ("events", "problems"),
    [
        ([STARTED, ("delta", "w0", 2, 0.25), ("delta", " w1", 3, 0.5), END], 0),
        ([STARTED, ("delta", "w0 w1", 3, 0.5), END], 0),
        ([STARTED, ("delta", "w0", 2, 0.25), END], 2),
        ([STARTED, ("delta", "w0", 2, 0.25), ("delta", "w0", 2, 0.25), ("delta", " w1", 3, 0.5), END], 2),
        ([STARTED, ("delta", "w0", 2, 0.25), ("delta", " w1", 3, 0.5)], 1),
        ([STARTED, ("gap", "", 3, 0.25), END], 3),
        ([STARTED, ("delta", "w0", 2, 0.25), ("delta", " w1", 3, 0.5), ("failed", "", 4, 0.75)], 1),
    ],
)
def test_what_is_lost_or_doubled_is_seen(events: Sequence[tuple[str, str, int, float]], problems: int) -> None:
    """Of the log and of the text, and an end that is missing or another one; merged pieces are no loss."""
    assert len(taken(*events).check("w0 w1")) == problems


def test_a_wait_is_what_the_model_does_not_need() -> None:
    """The longest one is kept with what has happened meanwhile."""
    reading = taken(STARTED, ("delta", "w0", 2, 1.25), ("delta", " w1", 3, 1.5), ("completed", "", 4, 1.5))
    assert reading.longest.seconds == pytest.approx(1.0)
    assert reading.longest.trail == (("told", pytest.approx(1.15)),)


def test_the_report_says_who_waited_and_why() -> None:
    """With the figures that a promise is held to."""
    waits = [Wait(f"r{number}", number / 100, (("told", 0.1),)) for number in range(101)]
    outcome = Outcome(["x"], waits, 20, 0, 7, 9.5, [("v1-0", 2.0, 0)], 0.1)
    said = "\n".join(lines(outcome))
    assert outcome.longest == 1.0
    assert "p50 0.50 s, p90 0.90 s, p99 0.99 s, max 1.00 s" in said
    assert "1.00 s, r100: told at 0.10" in said
    assert "v1-0 left 2.0 s after SIGTERM with exit code 0" in said
