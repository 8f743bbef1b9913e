"""`make chaos`: many runs side by side, and what they add up to."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from math import ceil
from pathlib import Path

import msgspec

from .jobs import CUTS_EACH, CutJob, Job, one, some_cuts
from .plan import KINDS, REDIS_KINDS
from .report import FEWEST, Outcome, rare, table
from .setups import REDIS, plan_of

MANY = 1000
MANY_OVER_REDIS = 500
"""Runs in which every kind of fault has to fire; over Redis each has more of them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 where a promise was broken, or where a large set has let a kind of fault fire too rarely."""
    options = _options(arguments)
    if options.show:
        for seed in options.seeds:
            plan = plan_of(seed, options.store, options.nodes)
            _say(msgspec.json.format(msgspec.json.encode(plan), indent=2).decode())
        return 0
    if options.cuts:
        return _cuts(options.cuts, options.first, options.jobs)
    seeds = options.seeds or list(range(options.first, options.first + options.count))
    jobs = [Job(seed, options.store, options.nodes, options.keep) for seed in seeds]
    outcomes: list[Outcome] = []
    for each in _done(jobs, options.jobs, options.again):
        outcomes.append(each)
        _tell(each)
        if len(outcomes) % 50 == 0:
            _say(f"{len(outcomes)} of {len(jobs)} runs, {sum(bool(o.violations) for o in outcomes)} with violations")
    over_redis = options.store == REDIS
    kinds = REDIS_KINDS if over_redis else KINDS
    text = table(outcomes, kinds)
    if options.report:
        options.report.write_text(text + "\n")
    _say(text)
    if any(each.violations for each in outcomes):
        _say("violated by seeds " + " ".join(str(each.seed) for each in outcomes if each.violations))
        return 1
    is_large = len(jobs) >= MANY_OVER_REDIS if over_redis else options.nodes == 1 and len(jobs) >= MANY
    if is_large and (missing := rare(outcomes, kinds)):
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


def _tell(found: Outcome) -> None:
    for violation in found.violations:
        _say(f"seed {found.seed}: {violation}")


def _done(jobs: Sequence[Job], processes: int, again: int) -> Iterator[Outcome]:
    """The outcomes of all jobs. One that says little is asked for up to `again` times more, with none beside it."""
    starved: list[int] = []
    for found in _side_by_side(jobs, processes):
        if found.says_little and again:
            _tell(found)
            _say(f"seed {found.seed}: the machine had no time for it, so it is run once more")
            starved.append(found.seed)
        else:
            yield found
    yield from (alone(job, again) for job in jobs if job.seed in starved)


def alone(job: Job, times: int, make: Callable[[Job], Outcome] = one) -> Outcome:
    """The outcome of the job, made up to so many times as long as it says little."""
    found = make(job)
    while found.says_little and (times := times - 1):
        found = make(job)
    return found


def _side_by_side(jobs: Sequence[Job], processes: int) -> Iterator[Outcome]:
    if processes == 1 or len(jobs) == 1:
        yield from map(one, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(min(processes, len(jobs))) as pool:
        yield from pool.imap_unordered(one, jobs)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("make chaos ARGS=…", description=__doc__)
    parser.add_argument("seeds", nargs="*", type=int, help="these seeds, and no others")
    parser.add_argument("--first", type=int, default=0, help="the first seed of a row")
    parser.add_argument("--count", type=int, default=1000, help="how many seeds from there on")
    parser.add_argument("--jobs", type=int, help="runs at once; they mostly wait: 8, with Redis 4")
    parser.add_argument(
        "--again", type=int, default=0, help="so often a run is repeated that fails while it is starved"
    )
    parser.add_argument("--store", default="sqlite:///chaos.db", help="the server's store.url; redis: one of its own")
    parser.add_argument("--nodes", type=int, help="so many nodes over one memory store, or over Redis: 1, with Redis 3")
    parser.add_argument("--cuts", type=int, default=0, help="no runs, but so many cuts of a store's write-ahead log")
    parser.add_argument("--report", type=Path, help="where to write the table")
    parser.add_argument("--keep", type=Path, help="a folder for the histories of runs with violations")
    parser.add_argument("--show", action="store_true", help="show what the seeds stand for, and run nothing")
    options = parser.parse_args(arguments)
    over_redis = options.store == REDIS
    options.jobs = options.jobs or (4 if over_redis else 8)
    options.nodes = options.nodes or (3 if over_redis else 1)
    return options


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
