"""The tables of a page of the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"

CELL = re.compile(r"(?<!\\)\|")


def text_of(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


def rows(page: str, *heads: str) -> Iterator[list[str]]:
    """The cells of all tables that have exactly these heads."""
    found = False
    lines = iter(text_of(page).split("\n"))
    for line in lines:
        if cells(line) == list(heads):
            found = True
            next(lines)
            while (row := cells(next(lines))) is not None:
                yield row
    assert found, f"{page} has no table {heads}"


def cells(line: str) -> list[str] | None:
    """The cells of a table's line; None where it is none."""
    return [cell.strip() for cell in CELL.split(line)[1:-1]] if line.startswith("|") else None


def named(cell: str) -> list[str]:
    """The names in a cell, in their order."""
    return re.findall(r"`([^`]+)`", cell)
