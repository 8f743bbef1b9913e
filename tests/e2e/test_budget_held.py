"""Two hundred connections that do the worst of everything at once, beside ten callers who behave."""

from __future__ import annotations

import os
from pathlib import Path

import budget_kit
import pytest

pytestmark = pytest.mark.anyio

SECONDS = float(os.environ.get("BUDGET_SECONDS", "6"))
"""A long form: BUDGET_SECONDS=30."""

MOST_MB = 512
SLOWEST = 0.25
WAYS = 10
"""How often a message waits for a processor: where others keep it busy, each time as long as whoever measures does."""


async def test_whoever_behaves_is_served_whatever_others_do(tmp_path: Path) -> None:
    """Memory is bounded, no call is refused, all is given back; that others are soon served is still owed."""
    report = await budget_kit.run(tmp_path, seconds=SECONDS)
    assert report.peak_mb < MOST_MB
    assert not report.refused
    assert report.left == {}
    soon = report.delay_p99 < SLOWEST + WAYS * report.lag_p99
    if not (soon and min(report.messages, report.calls) > 10 * SECONDS):
        # Issue 12 is open: on a quiet machine the attackers are quicker and a published text arrives seconds late.
        pytest.xfail(f"what is published does not arrive soon: {report}")
