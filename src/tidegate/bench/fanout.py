"""Many readers of one stream: what delivery costs, beside Go's hub and a loop around send()."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from tidegate.bench import product
from tidegate.bench.measure import Contender, in_turn, steady
from tidegate.bench.model import Pace
from tidegate.bench.options import Bench, Options
from tidegate.bench.processes import Server, listening, server_cpu
from tidegate.bench.report import Table

HOUR = 3600
"""Streams outlast every run; what is measured is their middle."""


def fanout(bench: Bench) -> Table:
    """Server CPU per event delivered, memory per reader, and the delay from append to the reader's socket."""
    options = bench.options
    title = f"Fan-out: {options.readers:,} readers of one stream at {options.rate:g} events/s"
    columns = {"us/token": 2, "KB/reader": 1, "p50 ms": 2, "p99 ms": 2, "CPU %": 1, "tokens/s": 0}
    return in_turn(Table(title, columns), _contenders(bench, ("hub", "floor")), options.rounds, partial(steady, bench))


def connections(bench: Bench) -> Table:
    """Readers of a stream that says nothing: memory."""
    options = bench.options
    quiet = replace(bench, options=replace(options, rate=1 / HOUR))
    table = Table(f"{options.readers:,} idle readers in one process", {"KB/reader": 1, "CPU %": 2})
    return in_turn(table, _contenders(quiet, ("hub",)), options.rounds, partial(steady, quiet))


@contextmanager
def one_stream(pace: Pace, more: str = "") -> Generator[Server]:
    """A server with one live stream, and the request of its readers. `more` is configuration."""
    with product.serving(product.TICKS, more) as server:
        yield replace(server, request=product.follow(product.begin(server, pace)))


NAMES: Mapping[str, str] = {"hub": "Go net/http hub", "floor": "C send() loop"}


def _contenders(bench: Bench, baselines: tuple[str, ...]) -> dict[str, Contender]:
    options = bench.options
    contenders: dict[str, Contender] = {"tidegate": partial(one_stream, _pace(options))}
    for name in baselines:
        program = bench.programs.baseline(name)
        if program is not None:
            contenders[NAMES[name]] = partial(_baseline, program, options)
    return contenders


def _pace(options: Options) -> Pace:
    return Pace(tokens=max(2, int(options.rate * HOUR)), rate=options.rate, size=options.size)


@contextmanager
def _baseline(program: Path, options: Options) -> Generator[Server]:
    started: AbstractContextManager[Server] = listening([program, str(options.rate), str(options.size)], server_cpu())
    with started as server:
        yield replace(server, request=product.get("/events"))
