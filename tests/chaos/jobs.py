"""One seed as a job of a worker process."""

from __future__ import annotations

import asyncio
import time
import traceback
from pathlib import Path

import msgspec

from .checker import check
from .cuts import cut
from .history import History, Violation, encode
from .report import Outcome, outcome
from .setups import run

RUN_SECONDS = 90.0
"""Longer than all the bounds of a run together: only a harness that hangs takes so long."""

CUTS_EACH = 50
"""Cuts of one store: as many as make filling it cheap."""


class Job(msgspec.Struct, frozen=True):
    """A run to be made with this store on so many nodes.

    The history of one with violations goes into the folder `keep`.
    """

    seed: int
    store: str
    nodes: int = 1
    keep: Path | None = None


class CutJob(msgspec.Struct, frozen=True):
    """A store to be filled, and so many cuts of its write-ahead log."""

    seed: int
    count: int


def one(job: Job) -> Outcome:
    """Makes the run and judges it."""
    begun = time.monotonic()
    try:
        history = asyncio.run(asyncio.wait_for(run(job.seed, store=job.store, nodes=job.nodes), RUN_SECONDS))
        violations = check(history)
    except (Exception, asyncio.CancelledError):
        # One run that the harness itself has spoilt must not take the others with it.
        history = History(job.seed)
        violations = [Violation("harness", "run", traceback.format_exc()[-1500:])]
    if job.keep is not None and violations:
        job.keep.mkdir(parents=True, exist_ok=True)
        (job.keep / f"{job.seed}.json").write_bytes(encode(history))
    return outcome(history, violations, time.monotonic() - begun)


def some_cuts(job: CutJob) -> list[str]:
    """Fills the store and cuts it: what promises were broken."""
    try:
        return asyncio.run(cut(job.seed, job.count))
    except Exception:
        return [f"seed {job.seed}: {traceback.format_exc()[-1500:]}"]
