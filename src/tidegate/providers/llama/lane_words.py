"""What is said between a process that has a model's lanes (`LaneHost`) and one that uses them (`SharedLanes`).

A connection on loopback is one generation, but for the one that attends; a line of JSON is one word. Whoever closes it
without `Leave` has given up, or has died: there is nothing else to be cleaned up after a process that was killed.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Lane = Literal["plain", "shaped"]


class Attend(msgspec.Struct, frozen=True, tag=True):
    """The first word of a connection that takes no turn: for as long as it is open, others may come that take one.
    `key` shows that they may."""

    key: str


class Enter(msgspec.Struct, frozen=True, tag=True):
    """The first word: wants a turn in the lane of this model. `key` shows that it may."""

    key: str
    model: str
    lane: Lane


class Answering(msgspec.Struct, frozen=True, tag=True):
    """The answer has begun: the next prompt may be sent."""


class Again(msgspec.Struct, frozen=True, tag=True):
    """The process had died before it took the request: wants the next one."""


class Leave(msgspec.Struct, frozen=True, tag=True):
    """The answer is complete."""


class Granted(msgspec.Struct, frozen=True, tag=True):
    """The turn has come: `address` is `http://127.0.0.1:PORT`, llama.cpp's own."""

    address: str
    api_key: str


class Died(msgspec.Struct, frozen=True, tag=True):
    """The process that was granted has died. `stuck` says that it was ended, since a grammar took too long."""

    death: str
    stuck: bool = False


class NotRunning(msgspec.Struct, frozen=True, tag=True):
    """There is no process, for this reason; `ProviderCrashed` has the message."""

    message: str


Asking = Attend | Enter | Answering | Again | Leave
Telling = Granted | Died | NotRunning


class LanePlace(msgspec.Struct, frozen=True):
    """Where lanes are offered, on 127.0.0.1, and the key to them."""

    port: int
    key: str


def line(word: Asking | Telling) -> bytes:
    return msgspec.json.encode(word) + b"\n"
