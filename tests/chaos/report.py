"""What many runs add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from .history import History, Violation
from .plan import KINDS

FEWEST = 20
"""Of many runs: a fault that fired less often was not tested."""


TIMED = frozenset(
    {
        "cancelled while read",
        "early end",
        "fenced owner",
        "harness",
        "late end",
        "missing end",
        "outlived its readers",
        "unheard cancel",
        "void share",
        "wrong end",
    }
)
"""What a machine without time for the servers breaks by itself. Order, loss and text are never among them."""


class Outcome(msgspec.Struct):
    """One run in numbers, and what it violated."""

    seed: int
    seconds: float
    fired: dict[str, int]
    streams: int
    readers: int
    connections: int
    events: int
    appends: int
    violations: list[Violation]

    @property
    def says_little(self) -> bool:
        """Whether only promises about time were broken, while the machine had no time for the run."""
        return bool(self.violations) and "starved" in self.fired and {each.rule for each in self.violations} <= TIMED


def outcome(history: History, violations: list[Violation], seconds: float) -> Outcome:
    return Outcome(
        seed=history.seed,
        seconds=seconds,
        fired=dict(Counter(fault.kind for fault in history.fired)),
        streams=len({kept.stream for kept in history.logs}),
        readers=len(history.readings),
        connections=sum(reading.connections for reading in history.readings),
        events=sum(len(reading.events) for reading in history.readings),
        appends=len(history.appends),
        violations=violations,
    )


def rare(outcomes: Sequence[Outcome], kinds: Sequence[str] = KINDS) -> dict[str, int]:
    """Those of the kinds of fault that fired too rarely, and how often they did."""
    fired = _fired(outcomes)
    return {kind: fired[kind] for kind in kinds if fired[kind] < FEWEST}


def table(outcomes: Sequence[Outcome], kinds: Sequence[str] = KINDS) -> str:
    """Faults by kind, what was watched, and violations by rule: Markdown."""
    fired = _fired(outcomes)
    rules = Counter(violation.rule for each in outcomes for violation in each.violations)
    kinds = [*kinds, *sorted(fired.keys() - set(kinds))]
    lines = ["| fault | fired |", "|---|---|", *(f"| {kind} | {fired[kind]} |" for kind in kinds), ""]
    lines += ["| | |", "|---|---|", f"| runs | {len(outcomes)} |"]
    for name in ("streams", "readers", "connections", "events", "appends"):
        lines.append(f"| {name} | {sum(getattr(each, name) for each in outcomes):,} |")
    lines.append(f"| seconds a run, in the middle | {_median([each.seconds for each in outcomes]):.1f} |")
    lines.append(f"| runs with violations | {sum(bool(each.violations) for each in outcomes)} |")
    lines += [f"| {rule} | {count} |" for rule, count in rules.most_common()]
    return "\n".join(lines)


def _fired(outcomes: Sequence[Outcome]) -> Counter[str]:
    total: Counter[str] = Counter()
    for each in outcomes:
        total.update(each.fired)
    return total


def _median(numbers: Sequence[float]) -> float:
    return sorted(numbers)[len(numbers) // 2] if numbers else 0.0
