"""Many upstream streams, each relayed to its own reader: what a token costs."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from tidegate.bench import product
from tidegate.bench.measure import Contender, in_turn, steady
from tidegate.bench.options import Bench
from tidegate.bench.processes import Server, listening, load_cpu, server_cpu
from tidegate.bench.report import Table

ENDLESS = 10_000_000
ANSWER = 1000
"""Tokens of an answer when the upstream is as fast as it can; readers then ask again, over the same connection."""

CHAT = product.post(
    "/v1/chat/completions", {"model": "bench", "messages": [{"role": "user", "content": "hi"}], "stream": True}
)
BATCHES = (1, 4, 8)
BATCH_DELAY_MS = 1000


def relay(bench: Bench) -> Table:
    """CPU per token of an upstream's event stream, with log, ids and resume on; Go's ReverseProxy keeps nothing."""
    options = bench.options
    pace = f"at {options.rate:g} tokens/s" if options.rate else "as fast as they can"
    # Without a rate, memory is mostly that of the logs, and delay that of the buffers, so that neither is shown.
    shown = {"KB/reader": 1, "p50 ms": 2, "p99 ms": 2} if options.rate else {"tokens/s/core": 0}
    columns = {"us/token": 2, "tokens/s": 0, "CPU %": 1, **shown}
    contenders: dict[str, Contender] = {
        "tidegate /v1/streams": partial(one_each, bench, native({})),
        "tidegate /v1/chat/completions": partial(one_each, bench, CHAT),
    }
    proxies = {"Go ReverseProxy": bench.programs.baseline("proxy")}
    if not options.rate:
        # On one core LiteLLM does not keep pace with the streams that the others are given.
        proxies["LiteLLM proxy"] = bench.programs.python("litellm_proxy", "litellm")
    for name, command in proxies.items():
        if command is not None:
            contenders[name] = partial(_proxy, bench, command)
    return _measured(bench, Table(f"Relay: {options.readers} upstream streams {pace}", columns), contenders)


def batching(bench: Bench) -> Table:
    """What batches of tokens save, and what they cost in delay."""
    options = bench.options
    title = f"Batching: {options.readers} streams at {options.rate:g} tokens/s"
    columns = {"tokens/s": 0, "mean ms": 1, "p99 ms": 1, "us/token": 2, "tokens/event": 2}
    contenders: dict[str, Contender] = {}
    for size in BATCHES:
        asked = {"batch": {"max_tokens": size, "max_delay_ms": BATCH_DELAY_MS}}
        contenders[f"tidegate, batches of {size}"] = partial(one_each, bench, native(asked))
    return _measured(bench, Table(title, columns), contenders)


def native(more: Mapping[str, Any]) -> bytes:
    """A request for an answer in the native dialect; `more` is added to the body."""
    return product.post("/v1/streams", {"model": "bench", "prompt": "hi", "stream": True, **more})


@contextmanager
def one_each(bench: Bench, request: bytes) -> Generator[Server]:
    """Runs a server in front of an upstream; each reader that sends the request gets an answer of its own."""
    with _upstream(bench) as upstream, product.serving(product.BEHIND.format(url=upstream.url)) as server:
        yield replace(server, request=request)


def _measured(bench: Bench, table: Table, contenders: Mapping[str, Contender]) -> Table:
    one = partial(steady, bench, again=not bench.options.rate)
    return in_turn(table, contenders, bench.options.rounds, one)


@contextmanager
def _upstream(bench: Bench) -> Generator[Server]:
    rate = bench.options.rate
    command = [bench.programs.upstream(), str(rate), str(ENDLESS if rate else ANSWER)]
    with listening(command, load_cpu()) as upstream:
        yield upstream


@contextmanager
def _proxy(bench: Bench, command: list[str | Path]) -> Generator[Server]:
    with _upstream(bench) as upstream, listening([*command, upstream.url], server_cpu()) as server:
        yield replace(server, request=CHAT)
