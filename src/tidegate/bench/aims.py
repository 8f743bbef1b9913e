"""What the figures of a scenario should be, and whether they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tidegate.bench.report import Table


@dataclass(frozen=True)
class Aim:
    """The median of `row` in `column` is at most `most`; with `of`, at most `most` times that of another row.

    An aim belongs to runs with so many `readers`.
    """

    row: str
    column: str
    most: float
    readers: int
    of: str = ""


PROXY, HUB, GORILLA = "Go ReverseProxy", "Go net/http hub", "gorilla/websocket hub"
NATIVE, CHAT = "tidegate /v1/streams", "tidegate /v1/chat/completions"

AIMS: Mapping[str, tuple[Aim, ...]] = {
    "fanout": (
        Aim("tidegate", "us/token", 0.66, readers=1000, of=HUB),
        Aim("tidegate", "KB/reader", 0.42, readers=1000, of=HUB),
        Aim("tidegate topic", "us/token", 0.38, readers=1000, of="Centrifugo"),
        Aim("tidegate topic", "KB/reader", 0.16, readers=1000, of="Centrifugo"),
    ),
    "relay": (
        Aim(f"{NATIVE}, memory", "us/token", 1.2, readers=300, of=PROXY),
        Aim(f"{CHAT}, memory", "us/token", 1.2, readers=300, of=PROXY),
        Aim(f"{NATIVE}, SQLite", "us/token", 1.25, readers=300, of=f"{NATIVE}, memory"),
        Aim(f"{CHAT}, SQLite", "us/token", 1.25, readers=300, of=f"{CHAT}, memory"),
        Aim(f"{NATIVE}, SQLite", "p50 ms", 1, readers=300),
        Aim(f"{NATIVE}, SQLite", "p99 ms", 5, readers=300),
        Aim(f"{CHAT}, SQLite", "p50 ms", 1, readers=300),
        Aim(f"{CHAT}, SQLite", "p99 ms", 5, readers=300),
        Aim(f"{NATIVE}, memory", "us/token", 1.2, readers=150, of="smg"),
        Aim(f"{CHAT}, memory", "us/token", 1.2, readers=150, of="smg"),
        Aim(f"{NATIVE}, memory", "us/token", 1.5, readers=60, of=PROXY),
        Aim(f"{CHAT}, memory", "us/token", 1.5, readers=60, of=PROXY),
    ),
    "sockets": (
        Aim("tidegate", "us/token", 0.65, readers=5000, of=GORILLA),
        Aim("tidegate", "KB/reader", 0.60, readers=5000, of=GORILLA),
    ),
    "telemetry": tuple(
        Aim(f"{each}, on", "us/token", 1.05, readers=300, of=f"{each}, off")
        for each in ("fan-out", f"relay {NATIVE.removeprefix('tidegate ')}", f"relay {CHAT.removeprefix('tidegate ')}")
    ),
    "kept": (Aim("tidegate, memory", "resident MB", 200, readers=2000),),
    "start": (
        Aim("tidegate serve, SQLite", "ready s", 0.25, readers=0),
        Aim("tidegate serve, SQLite", "resident MB", 40, readers=0),
    ),
}
"""By scenario. The relay's delay is that of the whole way from the upstream, not what the gateway adds to it."""


def judged(table: Table, aims: Iterable[Aim], readers: int) -> list[str]:
    """A line for each aim of this size whose rows were measured: the figure, the aim, and whether it is met."""
    return [_line(table, aim) for aim in aims if aim.readers == readers and _measured(table, aim)]


def _measured(table: Table, aim: Aim) -> bool:
    return aim.row in table.rows and (not aim.of or aim.of in table.rows)


def _line(table: Table, aim: Aim) -> str:
    figure = table.median(aim.row, aim.column)
    if aim.of:
        figure /= table.median(aim.of, aim.column)
    whose = f" of {aim.of}'s" if aim.of else ""
    verdict = "met" if figure <= aim.most else "missed"
    return f"{aim.row}: {figure:.2f}{whose} {aim.column}; aim {aim.most:g}: {verdict}."
