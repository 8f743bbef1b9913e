"""What authentication, authorisation and rate limits cost: the same server with the gate and without."""

from __future__ import annotations

import secrets
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from tidegate.bench import product
from tidegate.bench.asking import asking
from tidegate.bench.fanout import HOUR, lasting
from tidegate.bench.issuer import issuing
from tidegate.bench.measure import Contender, in_turn, steady
from tidegate.bench.options import Bench, Options
from tidegate.bench.processes import Server, cpu_seconds
from tidegate.bench.report import Table
from tidegate.config import new_key
from tidegate.core.principal import Scope
from tidegate.gate.jwt.tokens import mint

UNGATED = (sys.executable, "-m", "tidegate.bench.ungated")

HIGH_LIMITS = """
[limits]
requests_per_minute = 60_000_000
burst = 1_000_000
concurrent_generations = 1_000_000
readers_per_principal = 1_000_000
connections_per_principal = 1_000_000
"""

KEYS = 100
SCOPES: tuple[Scope, ...] = ("generate", "read")
SECRET_ENV = "TIDEGATE_BENCH_SECRET"

CONNECTIONS = 4
"""Connections that keep the server busy."""

FEWER = 5
"""How many times fewer readers there are through ASGI: more than the server keeps pace with would get merged events."""

SMALL = b"/v1/models"
BASE = "without the gate"


def gate(bench: Bench) -> Table:
    """What the gate costs with each kind of credentials: CPU per small request, CPU and memory of readers."""
    options = bench.options
    title = f"The gate: small requests, and {options.readers:,} readers of one stream at {options.rate:g} events/s"
    costs = {"us/request": 1, "us/token": 2, "ASGI us/token": 2, "KB/reader": 1}
    columns = {name: digits for cost in costs for name, digits in ((cost, costs[cost]), (_gate(cost), costs[cost]))}
    contenders: dict[str, Contender] = {
        BASE: partial(_ungated, options),
        "tidegate, anonymous": partial(_gated, options),
        "tidegate, API key": partial(_with_key, options),
        "tidegate, HS256": partial(_with_secret, options),
        "tidegate, RS256 by JWKS": partial(_with_issuer, options, "RS256"),
        "tidegate, EdDSA by JWKS": partial(_with_issuer, options, "EdDSA"),
    }
    table = in_turn(Table(title, columns), contenders, options.rounds, partial(_one, bench))
    for row in contenders:
        for cost in costs:
            _compare(table, row, cost)
    return table


def _one(bench: Bench, server: Server) -> dict[str, float]:
    options = bench.options
    found = steady(bench, server)
    # HTTP/1.0 has no chunks, so the wire is not used: every event passes the wrappers of `send` that the gate adds.
    fewer = replace(bench, options=replace(options, readers=max(1, options.readers // FEWER)))
    asgi = steady(fewer, replace(server, request=server.request.replace(b"HTTP/1.1", b"HTTP/1.0", 1)))
    requests = _requests(options, replace(server, request=_asked_for(SMALL, server.request)))
    return {**found, "us/request": requests, "ASGI us/token": asgi["us/token"]}


def _requests(options: Options, server: Server) -> float:
    """CPU time per request, in microseconds."""
    with asking(server, CONNECTIONS) as connections:
        connections.ask(options.warmup)
        began = cpu_seconds(server.pid)
        count = connections.ask(options.seconds)
        return (cpu_seconds(server.pid) - began) / count * 1e6


def _asked_for(path: bytes, request: bytes) -> bytes:
    method, _, rest = request.split(b" ", 2)
    return b" ".join((method, path, rest))


def _compare(table: Table, row: str, cost: str) -> None:
    for base, value in zip(table.rows[BASE][cost], table.rows[row][cost], strict=True):
        if row != BASE:
            table.add(row, {_gate(cost): value - base})


def _gate(cost: str) -> str:
    return f"gate {cost}"


@contextmanager
def _ungated(options: Options) -> Generator[Server]:
    with product.serving(product.TICKS, command=UNGATED) as server:
        yield _followed(server, options)


@contextmanager
def _gated(
    options: Options, auth: str = "", token: str = "", command: Sequence[str] = product.COMMAND
) -> Generator[Server]:
    with product.serving(product.TICKS, auth, limits=HIGH_LIMITS, command=command) as server:
        yield _followed(server, options, token)


@contextmanager
def _with_key(options: Options) -> Generator[Server]:
    keys = [new_key(f"key-{number}", SCOPES) for number in range(KEYS)]
    with _gated(options, "".join(lines for _, lines in keys), keys[-1][0]) as server:
        yield server


@contextmanager
def _with_secret(options: Options) -> Generator[Server]:
    secret = secrets.token_urlsafe()
    token = mint(secret.encode(), sub="bench", scopes=SCOPES, ttl_seconds=HOUR, issuer="", audience="", now=time.time())
    command = ("env", f"{SECRET_ENV}={secret}", *product.COMMAND)
    with _gated(options, f'[auth]\njwt_secret_env = "{SECRET_ENV}"\n', token, command) as server:
        yield server


@contextmanager
def _with_issuer(options: Options, alg: str) -> Generator[Server]:
    with issuing(alg) as issuer:
        token = issuer.token({"sub": "bench", "scope": " ".join(SCOPES), "exp": int(time.time()) + HOUR})
        with _gated(options, f'[auth]\njwks_url = "{issuer.url}"\n', token) as server:
            yield server


def _followed(server: Server, options: Options, token: str = "") -> Server:
    """The server with a live stream, and with the request of its readers."""
    return replace(server, request=product.follow(product.begin(server, lasting(options), token), token))
