"""A Dockerfile, as far as ours goes: its stages, what each does, and which others it needs."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "Dockerfile"

_VARIABLE = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class Instruction:
    keyword: str
    text: str

    @property
    def options(self) -> dict[str, str]:
        """`--name=value` before the arguments."""
        return dict(re.findall(r"--([\w-]+)=(\S+)", self.text.removesuffix(self.arguments)))

    @property
    def arguments(self) -> str:
        return re.sub(r"^(?:--[\w-]+=\S+\s+)+", "", self.text)

    @property
    def exec_form(self) -> list[str]:
        """The words of `CMD [...]`. Raises `ValueError` for the form that a shell reads."""
        return json.loads(self.arguments)

    @property
    def pairs(self) -> dict[str, str]:
        """Of `ENV` and `LABEL`: names with values."""
        return dict(word.split("=", 1) for word in shlex.split(self.text))


@dataclass
class Stage:
    name: str
    base: str
    steps: list[Instruction] = field(default_factory=list)

    @property
    def copied_from(self) -> set[str]:
        return {step.options["from"] for step in self.steps if step.keyword == "COPY" and "from" in step.options}


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions, each on one line, without comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        if line.strip():
            keyword, _, rest = line.strip().partition(" ")
            yield Instruction(keyword.upper(), re.sub(r"\s{2,}", " ", rest.strip()))


def stages(text: str, arguments: Mapping[str, str] | None = None) -> dict[str, Stage]:
    """The stages by their names, in order; `ARG`s have their defaults, or what is given."""
    found = dict[str, Stage]()
    known = dict[str, str]()
    stage: Stage | None = None
    for each in instructions(text):
        step = Instruction(each.keyword, _VARIABLE.sub(lambda name: known.get(name[1], name[0]), each.text))
        if step.keyword == "ARG":
            name, _, default = step.text.partition("=")
            known[name] = (arguments or {}).get(name, default.strip('"'))
        elif step.keyword == "FROM":
            base, _, name = step.text.partition(" AS ")
            stage = found[name] = Stage(name, base)
        elif stage is not None:
            stage.steps.append(step)
    return found


def line_of(stages: Mapping[str, Stage], name: str) -> list[Stage]:
    """The stage and those that it stands on, the lowest first."""
    above = [stages[name]]
    while above[0].base in stages:
        above.insert(0, stages[above[0].base])
    return above


def last(line: list[Stage], keyword: str, default: Instruction | None = None) -> Instruction:
    """The last of these instructions, which is the one that counts. Raises `KeyError` where there is none."""
    found = [step for stage in line for step in stage.steps if step.keyword == keyword]
    if not found and default is None:
        raise KeyError(keyword)
    return found[-1] if found else default  # type: ignore[return-value]


def environment(line: list[Stage]) -> dict[str, str]:
    return {
        name: value
        for stage in line
        for step in stage.steps
        if step.keyword == "ENV"
        for name, value in step.pairs.items()
    }
