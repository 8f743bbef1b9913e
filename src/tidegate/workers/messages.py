"""What the parent and a worker tell each other, a line of JSON each, over a pair of sockets."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from tidegate.config import Changes, Settings
from tidegate.errors import ConfigError, InUse, TidegateError
from tidegate.observe.metrics.series import Series
from tidegate.providers.llama.lane_words import LanePlace


class Setup(msgspec.Struct, frozen=True, tag=True):
    """The first line to a worker: its number, its settings, the inherited descriptors of everybody's listeners, where
    the parent lends the lanes of each of its embedded models, and the keys of each model's upstreams, which the parent
    alone reads: all workers have the same ones."""

    worker: int
    settings: Settings
    listeners: list[list[int]]
    lanes: dict[str, LanePlace] = {}
    keys: dict[str, tuple[str, ...]] = {}


class Listen(msgspec.Struct, frozen=True, tag=True):
    """Tells a worker which listeners to take connections from, and no others."""

    numbers: list[int]


class Ready(msgspec.Struct, frozen=True, tag=True):
    """A worker takes connections."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A worker could not start, for this reason: an error's class, and what it was made with."""

    code: str
    message: str
    key: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def error(self) -> TidegateError:
        kinds = {kind.code: kind for kind in (ConfigError, InUse)}
        if (kind := kinds.get(self.code)) is not None:
            return kind(self.message, key=self.key, problem=self.problem)
        return TidegateError(self.message)


class Measure(msgspec.Struct, frozen=True, tag=True):
    """Asks a worker what it has measured."""


class Measured(msgspec.Struct, frozen=True, tag=True):
    """What the worker has measured."""

    series: list[Series]


class Scrape(msgspec.Struct, frozen=True, tag=True):
    """Asks the parent what all workers have measured: one of them is being scraped, and answers for all."""


class Scraped(msgspec.Struct, frozen=True, tag=True):
    """What all workers have measured, those that have died among them."""

    series: list[Series]


class Prepare(msgspec.Struct, frozen=True, tag=True):
    """Has a worker get ready for later settings, in the place of any that it has got ready for before. Its reply has
    the same `number`."""

    number: int
    settings: Settings
    lanes: dict[str, LanePlace] = {}
    keys: dict[str, tuple[str, ...]] = {}


class Prepared(msgspec.Struct, frozen=True, tag=True):
    """The worker is ready to take them, or cannot, and has changed nothing."""

    number: int
    failed: Failed | None = None


class Take(msgspec.Struct, frozen=True, tag=True):
    """Has the worker take over what it has got ready for."""


class Taken(msgspec.Struct, frozen=True, tag=True):
    """The worker has done so."""

    changes: Changes


class Drop(msgspec.Struct, frozen=True, tag=True):
    """Has the worker forget what it has got ready for, since another one could not."""


Message = (
    Setup | Listen | Ready | Failed | Measure | Measured | Scrape | Scraped | Prepare | Prepared | Take | Taken | Drop
)

LONGEST_LINE = 1 << 24
"""Bytes of one message: a worker's series take some 20 KB, and grow with its models and upstreams."""


def failed(error: TidegateError) -> Failed:
    """The message about an error."""
    if isinstance(error, ConfigError):
        return Failed(error.code, error.message, error.key, error.problem)
    return Failed(error.code, error.message)


def encoded(message: Message) -> bytes:
    """One line. Not by msgspec, since a path in a flag may have bytes that are no UTF-8."""
    return json.dumps(msgspec.to_builtins(message)).encode() + b"\n"


def decoded(line: bytes) -> Message:
    """The message of a line."""
    message: Any = json.loads(line)
    return msgspec.convert(message, Message, str_keys=True)  # type: ignore[arg-type]
