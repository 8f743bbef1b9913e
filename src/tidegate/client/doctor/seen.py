"""What an examination has seen. None, or an empty field, stands for what was not measured."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidegate.client.doctor.finding import Code
from tidegate.dialects.native_probe import Arrived


class Greeting(msgspec.Struct, frozen=True, kw_only=True):
    """The first probe. `lost` are the headers that were sent and did not arrive; `clocks` says by how many seconds each
    clock is ahead of this machine's, and `unsure_s` by how much that may be wrong."""

    arrived: Arrived
    lost: Sequence[str]
    clocks: dict[str, float]
    round_trip_s: float
    unsure_s: float


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """How events came to one reader. `delays_s` has those that came in time, each since the event was sent.

    `late`: one did not come within `patience_s`. `at_end`: it came when the stream ended.
    """

    delays_s: Sequence[float]
    late: bool
    at_end: bool
    encoding: str
    patience_s: float


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A reader that takes events as they are, and one that takes gzip.

    `resumed` has the types of the events that one got which came back with the cursor of the first text.
    """

    plain: Read
    gzip: Read
    resumed: Sequence[str]


class Watched(msgspec.Struct, frozen=True, kw_only=True):
    """A connection on which nothing was sent but heartbeats. `cut_after_s` is None where it lasted to the end.

    `silent_s` is how long nothing had come before it was cut. `dead`: it seemed to last, but an event did not come.
    """

    what: str
    watched_s: float
    cut_after_s: float | None = None
    silent_s: float = 0.0
    dead: bool = False


class Handshakes(msgspec.Struct, frozen=True, kw_only=True):
    """Why WebSockets were refused; empty where they were not. `origin_refused` names what was refused to pages."""

    socket_refused: str
    origin: str
    origin_refused: Sequence[str]


class LongBody(msgspec.Struct, frozen=True, kw_only=True):
    """A long body that was posted; `refused` says how it was refused, empty where it was not."""

    bytes: int
    refused: str


class Seen(msgspec.Struct, kw_only=True):
    """All of it. `blocked` is what kept other things from being measured, `failed` the calls that nobody answered,
    `unmeasured` why something else was not measured."""

    https: bool
    alpn: str | None = None
    greeting: Greeting | None = None
    delivery: Delivery | None = None
    watched: list[Watched] = []
    handshakes: Handshakes | None = None
    long_body: LongBody | None = None
    arrivals: int | None = None
    blocked: dict[Code, str] = {}
    failed: dict[str, str] = {}
    unmeasured: dict[str, str] = {}
