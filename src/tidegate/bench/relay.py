"""Many upstream streams, each relayed to its own reader: what a token costs."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from tidegate.bench import product
from tidegate.bench.gateways import LITELLM, Gateway, gateways
from tidegate.bench.measure import Contender, in_turn, steady
from tidegate.bench.options import Bench
from tidegate.bench.processes import Server, listening, load_cpu
from tidegate.bench.report import Table
from tidegate.errors import TidegateError

ENDLESS = 10_000_000
ANSWER = 1000
"""Tokens of an answer when the upstream is as fast as it can; readers then ask again, over the same connection."""

CHAT = product.post(
    "/v1/chat/completions", {"model": "bench", "messages": [{"role": "user", "content": "hi"}], "stream": True}
)

LITELLM_SHARE = 5
"""LiteLLM is given one stream in so many: on one core it does not keep pace with what the others carry."""

BATCHES = (1, 4, 8)
BATCH_DELAY_MS = 1000


def relay(bench: Bench) -> Table:
    """CPU per token of an upstream's event stream, with log, ids and resume on; the other gateways keep nothing."""
    options = bench.options
    pace = f"at {options.rate:g} tokens/s" if options.rate else "as fast as they can"
    # Without a rate, memory is mostly that of the logs, and delay that of the buffers, so that neither is shown.
    shown = {"KB/reader": 1, "p50 ms": 2, "p99 ms": 2} if options.rate else {"tokens/s/core": 0}
    title = f"Relay: {options.readers} upstream streams {pace}"
    table = Table(title, {"us/token": 2, "tokens/s": 0, "CPU %": 1, **shown})
    others = gateways(bench.programs)
    slow = others.pop(LITELLM, None)
    contenders = {**_tidegate(bench), **{name: partial(_behind, bench, other) for name, other in others.items()}}
    for _ in range(options.rounds):
        in_turn(table, contenders, 1, partial(_steady, bench))
        if slow is not None and not _carries(bench, table, slow):
            slow = None
    return table


def _tidegate(bench: Bench) -> dict[str, Contender]:
    found: dict[str, Contender] = {}
    for dialect, request in (("/v1/streams", native({})), ("/v1/chat/completions", CHAT)):
        for name, store in (("memory", product.MEMORY), ("SQLite", product.SQLITE)):
            found[f"tidegate {dialect}, {name}"] = partial(one_each, bench, request, store)
    return found


def _carries(bench: Bench, table: Table, litellm: Gateway) -> bool:
    """Measures a round of LiteLLM with its share of the streams; whether it carried them is in the table."""
    options = replace(bench.options, readers=max(1, bench.options.readers // LITELLM_SHARE))
    fewer = replace(bench, options=options)
    contender = {f"{LITELLM}, {options.readers} streams": partial(_behind, fewer, litellm)}
    try:
        in_turn(table, contender, 1, partial(_steady, fewer))
    except TidegateError as error:
        table.notes.append(f"{LITELLM} did not carry {options.readers} streams: {error}.")
        return False
    return True


def batching(bench: Bench) -> Table:
    """What batches of tokens save, and what they cost in delay."""
    options = bench.options
    title = f"Batching: {options.readers} streams at {options.rate:g} tokens/s"
    columns = {"tokens/s": 0, "mean ms": 1, "p99 ms": 1, "us/token": 2, "tokens/event": 2}
    contenders: dict[str, Contender] = {}
    for size in BATCHES:
        asked = {"batch": {"max_tokens": size, "max_delay_ms": BATCH_DELAY_MS}}
        contenders[f"tidegate, batches of {size}"] = partial(one_each, bench, native(asked))
    return in_turn(Table(title, columns), contenders, options.rounds, partial(_steady, bench))


def native(more: Mapping[str, Any]) -> bytes:
    """A request for an answer in the native dialect; `more` is added to the body."""
    return product.post("/v1/streams", {"model": "bench", "prompt": "hi", "stream": True, **more})


@contextmanager
def one_each(
    bench: Bench, request: bytes, store: str = product.MEMORY, *, observability: str = product.QUIET
) -> Generator[Server]:
    """Runs a server in front of an upstream; each reader that sends the request gets an answer of its own."""
    with _upstream(bench) as upstream:
        models = product.BEHIND.format(url=upstream.url)
        with product.serving(models, store=store, observability=observability) as server:
            yield replace(server, request=request)


def _steady(bench: Bench, server: Server) -> dict[str, float]:
    return steady(bench, server, again=not bench.options.rate)


@contextmanager
def _upstream(bench: Bench) -> Generator[Server]:
    rate = bench.options.rate
    command = [bench.programs.upstream(), str(rate), str(ENDLESS if rate else ANSWER)]
    with listening(command, load_cpu()) as upstream:
        yield upstream


@contextmanager
def _behind(bench: Bench, gateway: Gateway) -> Generator[Server]:
    with _upstream(bench) as upstream, gateway(upstream.url) as server:
        yield replace(server, request=CHAT)
