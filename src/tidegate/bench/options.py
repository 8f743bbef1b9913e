"""The options of a scenario, and what every scenario is given."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.bench.programs import Programs


@dataclass(frozen=True)
class Options:
    """`readers` connections; `rate` in tokens a second for each stream, 0 for as fast as it can; `size` in bytes.

    A round is measured for `seconds`, after `warmup` seconds.
    """

    readers: int
    rate: float
    seconds: float
    rounds: int
    warmup: float = 2.0
    size: int = 5


@dataclass(frozen=True)
class Bench:
    """A run: its options, and the programs that it needs."""

    options: Options
    programs: Programs
