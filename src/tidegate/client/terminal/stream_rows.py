"""Streams as rows: for somebody who looks at a terminal, and for a program that reads lines. Pure.

What stands in them is read patiently: a newer server may have other fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tidegate.client.terminal.ages import age
from tidegate.client.terminal.cells import fitted, padded
from tidegate.client.terminal.ends import text_in, tokens
from tidegate.core.visible import visible_line

INDENT = "  "
ID_CELLS, STATUS_CELLS, AGE_CELLS, TOKENS_CELLS = 36, 9, 6, 13


def row(stream: Mapping[str, Any], now: float, columns: int) -> str:
    """A stream in one line: its id, its status, how old it is, its tokens, its model."""
    count = tokens(stream)
    told = "" if count is None else f"{count} token{'s' * (count != 1)}"
    cells = [
        padded(fitted(_shown(stream, "id"), ID_CELLS), ID_CELLS),
        padded(fitted(_shown(stream, "status"), STATUS_CELLS), STATUS_CELLS),
        f"{age(now - created(stream)):>{AGE_CELLS}}",
        f"{told:>{TOKENS_CELLS}}",
        _shown(stream, "model"),
    ]
    return fitted("  ".join(cells), columns)


def words(snapshot: Mapping[str, Any], columns: int) -> str:
    """The question of a stream, or else its first words, in one line below its row; empty where there is neither."""
    said = " ".join((text_in(snapshot, "question") or text_in(snapshot, "text"))[: columns * 4].split())
    return fitted(INDENT + visible_line(said), columns) if said else ""


def line(stream: Mapping[str, Any]) -> str:
    """A stream as fields with tabs between them: id, status, model, when it began (Unix seconds), tokens."""
    count = tokens(stream)
    fields = [text_in(stream, name) for name in ("id", "status", "model")]
    fields += [f"{created(stream):.0f}", "" if count is None else str(count)]
    return "\t".join(visible_line(field).replace("\t", "\\t") for field in fields)


def created(stream: Mapping[str, Any]) -> float:
    """When the stream began, in Unix seconds."""
    at = stream.get("created_at")
    return float(at) if isinstance(at, int | float) else 0.0


def _shown(stream: Mapping[str, Any], name: str) -> str:
    return visible_line(text_in(stream, name)).replace("\t", "\\t")
