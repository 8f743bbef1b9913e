"""Many readers of one stream or topic: what delivery costs, compared with hubs in Go, Centrifugo and a loop in C."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from tidegate.bench import product
from tidegate.bench.measure import Contender, in_turn, steady
from tidegate.bench.model import Pace
from tidegate.bench.options import Bench, Options
from tidegate.bench.processes import Server, listening, server_cpu
from tidegate.bench.report import Table
from tidegate.bench.topic import topics

PYTHON_HUBS = {"fastapi": "FastAPI StreamingResponse", "sse-starlette": "sse-starlette"}
HOUR = 3600
"""Seconds that streams last: longer than every run, so that neither their beginning nor their end is measured."""


def fanout(bench: Bench) -> Table:
    """Server CPU per event delivered, memory per reader, and the delay from append to the reader's socket."""
    options = bench.options
    title = f"Fan-out: {options.readers:,} readers of one stream or topic at {options.rate:g} events/s"
    columns = {"us/token": 2, "KB/reader": 1, "p50 ms": 2, "p99 ms": 2, "CPU %": 1, "tokens/s": 0}
    return in_turn(Table(title, columns), _contenders(bench, floor=True), options.rounds, partial(steady, bench))


def connections(bench: Bench) -> Table:
    """Readers of a stream that says nothing: memory."""
    options = bench.options
    quiet = replace(bench, options=replace(options, rate=1 / HOUR))
    table = Table(f"{options.readers:,} idle readers in one process", {"KB/reader": 1, "CPU %": 2})
    return in_turn(table, _contenders(quiet, floor=False), options.rounds, partial(steady, quiet))


@contextmanager
def one_stream(pace: Pace, more: str = "", *, observability: str = product.QUIET) -> Generator[Server]:
    """Serves one live stream, with the request of its readers. `more` is added to the configuration."""
    with product.serving(product.TICKS, more, observability=observability) as server:
        yield replace(server, request=product.follow(product.begin(server, pace)))


def lasting(options: Options) -> Pace:
    """The pace of a stream that outlasts the run."""
    return Pace(tokens=max(2, int(options.rate * HOUR)), rate=options.rate, size=options.size)


def _contenders(bench: Bench, *, floor: bool) -> dict[str, Contender]:
    options, programs = bench.options, bench.programs
    commands: dict[str, list[str | Path] | None] = {
        "Go net/http hub": programs.baseline("hub"),
        "Go net/http handler": programs.baseline("handler"),
    }
    if floor:
        commands["C send() loop"] = programs.baseline("floor")
    for name, package in (("fastapi", "fastapi"), ("sse-starlette", "sse_starlette")):
        hub = programs.python("python_hub", package)
        commands[PYTHON_HUBS[name]] = None if hub is None else [*hub, name]
    contenders: dict[str, Contender] = {"tidegate": partial(one_stream, lasting(options)), **topics(bench)}
    for name, command in commands.items():
        if command is not None:
            contenders[name] = partial(_baseline, command, options)
    return contenders


@contextmanager
def _baseline(command: list[str | Path], options: Options) -> Generator[Server]:
    with listening([*command, str(options.rate), str(options.size)], server_cpu()) as server:
        yield replace(server, request=product.get("/events"))
