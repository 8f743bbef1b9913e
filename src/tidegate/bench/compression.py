"""What gzip saves on the wire, and what it costs: the same readers with and without it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from tidegate.bench.fanout import lasting, one_stream
from tidegate.bench.load import inflating
from tidegate.bench.measure import Contender, at_work, in_turn
from tidegate.bench.options import Bench
from tidegate.bench.processes import Server
from tidegate.bench.relay import CHAT, native, one_each
from tidegate.bench.report import Table

BLANK_LINE = b"\r\n\r\n"
ACCEPT = b"\r\nAccept-Encoding: gzip"


def compression(bench: Bench) -> Table:
    """What gzip saves where every event is flushed, and what it costs: bytes, CPU, memory and delay of each token."""
    options = bench.options
    title = f"Compression: {options.readers} readers at {options.rate:g} tokens/s"
    sizes = {"bytes/token": 1, "saved %": 1, "body/token": 1, "body saved %": 1}
    columns = {**sizes, "us/token": 2, "KB/reader": 1, "p50 ms": 2, "p99 ms": 2}
    shapes: dict[str, Contender] = {
        "tidegate /v1/chat/completions": partial(one_each, bench, CHAT),
        "tidegate /v1/streams": partial(one_each, bench, native({})),
        "tidegate, one stream for all": partial(one_stream, lasting(options)),
    }
    contenders: dict[str, Contender] = {}
    for name, shape in shapes.items():
        contenders[name] = shape
        contenders[_gzip(name)] = partial(_asked_for_gzip, shape)
    table = in_turn(Table(title, columns), contenders, options.rounds, partial(_one, bench))
    for name in shapes:
        _compare(table, name)
    table.notes.append("Each read was, decompressed by itself, a whole number of events.")
    return table


def _one(bench: Bench, server: Server) -> dict[str, float]:
    options = bench.options
    counts, found = at_work(options, server, inflating(server, options.readers))
    tokens = max(counts.tokens, 1)
    return {**found, "bytes/token": counts.bytes / tokens, "body/token": counts.body / tokens}


def _compare(table: Table, name: str) -> None:
    rows = table.rows[name], table.rows[_gzip(name)]
    for column, saved in (("bytes/token", "saved %"), ("body/token", "body saved %")):
        for plain, compressed in zip(*(row[column] for row in rows), strict=True):
            table.add(_gzip(name), {saved: 100 * (1 - compressed / plain) if plain else 0.0})


def _gzip(name: str) -> str:
    return f"{name}, gzip"


@contextmanager
def _asked_for_gzip(shape: Contender) -> Generator[Server]:
    with shape() as server:
        yield replace(server, request=server.request.replace(BLANK_LINE, ACCEPT + BLANK_LINE, 1))
