"""What a rolling update has come to, in words and figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec
from reading import Wait

SHOWN = 12


class Outcome(msgspec.Struct):
    """`waits` has the longest one of each reader; `pods` says how long each old one drained, and its exit code.

    `late` is how many seconds the clients' own process had to wait for this machine at the most.
    """

    problems: Sequence[str]
    waits: Sequence[Wait]
    streams: int
    refused: int
    reconnects: int
    seconds: float
    pods: Sequence[tuple[str, float, int | None]]
    late: float

    @property
    def longest(self) -> float:
        return max(wait.seconds for wait in self.waits)


def lines(outcome: Outcome) -> Iterator[str]:
    """The report, line by line."""
    yield from outcome.problems[:SHOWN]
    yield f"{outcome.streams} streams, {len(outcome.waits)} readers"
    yield f"the update took {outcome.seconds:.1f} s"
    for name, drained, code in outcome.pods:
        yield f"  {name} left {drained:.1f} s after SIGTERM with exit code {code}"
    yield f"{outcome.reconnects} reconnects, {outcome.refused} calls that had to be repeated"
    yield f"this machine let the clients themselves wait for up to {outcome.late:.2f} s"
    waits = sorted(outcome.waits, key=lambda wait: wait.seconds)
    shares = [
        (name, waits[int(share * (len(waits) - 1))]) for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))
    ]
    figures = ", ".join(f"{name} {wait.seconds:.2f} s" for name, wait in [*shares, ("max", waits[-1])])
    yield f"the longest wait of each reader beyond the model's pauses: {figures}"
    for wait in waits[: -SHOWN - 1 : -1]:
        yield f"  {wait.seconds:.2f} s, {wait.reader}: " + "; ".join(f"{what} at {at:.2f}" for what, at in wait.trail)
    yield f"{len(outcome.problems)} problems"
