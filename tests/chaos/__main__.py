"""`python -m tests.chaos`: many runs side by side, and what they add up to."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path

import msgspec

from .jobs import CUTS_EACH, CutJob, Job, one, some_cuts
from .plan import among, draw
from .report import FEWEST, Outcome, rare, table


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 where a promise was broken, or where a large set has let a kind of fault fire too rarely."""
    options = _options(arguments)
    if options.show:
        for seed in options.seeds:
            plan = draw(seed) if options.nodes == 1 else among(options.nodes, draw(seed))
            _say(msgspec.json.format(msgspec.json.encode(plan), indent=2).decode())
        return 0
    if options.cuts:
        return _cuts(options.cuts, options.first, options.jobs)
    seeds = options.seeds or list(range(options.first, options.first + options.count))
    jobs = [Job(seed, options.store, options.nodes, options.keep) for seed in seeds]
    outcomes: list[Outcome] = []
    for each in _done(jobs, options.jobs):
        outcomes.append(each)
        for violation in each.violations:
            _say(f"seed {each.seed}: {violation}")
        if len(outcomes) % 50 == 0:
            _say(f"{len(outcomes)} of {len(jobs)} runs, {sum(bool(o.violations) for o in outcomes)} with violations")
    text = table(outcomes)
    if options.report:
        options.report.write_text(text + "\n")
    _say(text)
    if any(each.violations for each in outcomes):
        _say("violated by seeds " + " ".join(str(each.seed) for each in outcomes if each.violations))
        return 1
    if options.nodes == 1 and len(jobs) >= 1000 and (missing := rare(outcomes)):
        _say(f"fired fewer than {FEWEST} times: {missing}")
        return 1
    return 0


def _cuts(count: int, first: int, processes: int) -> int:
    jobs = [CutJob(first + n, min(CUTS_EACH, count - n * CUTS_EACH)) for n in range(ceil(count / CUTS_EACH))]
    problems: list[str] = []
    with multiprocessing.get_context("spawn").Pool(min(processes, len(jobs))) as pool:
        for found in pool.imap_unordered(some_cuts, jobs):
            problems += found
            for problem in found:
                _say(problem)
    _say(f"{count} cuts of {len(jobs)} stores, {len(problems)} broken promises")
    return int(bool(problems))


def _done(jobs: Sequence[Job], processes: int) -> Iterator[Outcome]:
    if processes == 1 or len(jobs) == 1:
        yield from map(one, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(min(processes, len(jobs))) as pool:
        yield from pool.imap_unordered(one, jobs)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.chaos", description=__doc__)
    parser.add_argument("seeds", nargs="*", type=int, help="these seeds, and no others")
    parser.add_argument("--first", type=int, default=0, help="the first seed of a row")
    parser.add_argument("--count", type=int, default=1000, help="how many seeds from there on")
    parser.add_argument("--jobs", type=int, default=8, help="runs at once; they mostly wait")
    parser.add_argument("--store", default="sqlite:///chaos.db", help="the server's store.url")
    parser.add_argument("--nodes", type=int, default=1, help="so many nodes over one memory store")
    parser.add_argument("--cuts", type=int, default=0, help="no runs, but so many cuts of a store's write-ahead log")
    parser.add_argument("--report", type=Path, help="where to write the table")
    parser.add_argument("--keep", type=Path, help="a folder for the histories of runs with violations")
    parser.add_argument("--show", action="store_true", help="show what the seeds stand for, and run nothing")
    return parser.parse_args(arguments)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
