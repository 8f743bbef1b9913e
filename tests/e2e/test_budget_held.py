"""Two hundred connections that do the worst of everything at once, beside ten callers who behave."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.anyio

SECONDS = float(os.environ.get("BUDGET_SECONDS", "4"))
"""A long form: BUDGET_SECONDS=30."""

MOST_MB = 512
ALONE = "PYTEST_XDIST_WORKER" not in os.environ
SLOWEST = 0.25 if ALONE else 1.0
"""A queue in which somebody has to wait for all others shows beside other tests, too: a text took four seconds."""

CALLS_A_SECOND = 5
"""Of all that are answered whole; where nobody does harm there are thirty."""

WAYS = 10
"""How often a message waits for a processor: where others keep it busy, each time as long as whoever measures does."""


async def test_whoever_behaves_is_served_whatever_others_do(tmp_path: Path) -> None:
    """Memory is bounded, no call is refused, what is published arrives soon, and all is given back afterwards."""
    # It packs large bodies, which every process of pytest would.
    import budget_kit

    report = await budget_kit.run(tmp_path, seconds=SECONDS)
    assert report.peak_mb < MOST_MB
    assert not report.refused
    assert report.left == {}
    assert report.delay_p99 < SLOWEST + WAYS * report.lag_p99, report
    assert min(report.messages, report.calls) > CALLS_A_SECOND * SECONDS, report
