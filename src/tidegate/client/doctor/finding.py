"""What an examination may find."""

from __future__ import annotations

from typing import Literal

import msgspec

Code = Literal[
    "unreachable",
    "host_refused",
    "origin_refused",
    "buffered",
    "compression_delays",
    "idle_cut",
    "no_websocket",
    "http10",
    "six_connections",
    "headers_lost",
    "no_resume",
    "body_limit",
    "post_retried",
    "clock",
]


class Finding(msgspec.Struct, frozen=True):
    """One fault: what was seen, and what to change, a line for each proxy."""

    code: Code
    message: str
    fix: str
