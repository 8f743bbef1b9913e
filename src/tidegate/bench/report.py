"""Reports medians and ranges over rounds, as a table, as JSON and as a chart."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

import msgspec

BAR, GAP, LEFT, WIDTH = 22, 12, 280, 790


@dataclass
class Table:
    """Values by row and column, one for each round. `columns` maps names to the number of decimals shown."""

    title: str
    columns: Mapping[str, int]
    notes: list[str] = field(default_factory=list[str])
    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict[str, dict[str, list[float]]])

    def add(self, row: str, values: Mapping[str, float]) -> None:
        """Adds the values of one more round."""
        into = self.rows.setdefault(row, {})
        for column, value in values.items():
            into.setdefault(column, []).append(value)

    def median(self, row: str, column: str) -> float:
        """The median over the rounds."""
        return statistics.median(self.rows[row][column])

    def text(self) -> str:
        """The table as text that is also Markdown."""
        lines = [["", *self.columns], *([row, *map(self._cell(row), self.columns)] for row in self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        drawn = [_line(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        drawn.insert(1, _line("-" * width for width in widths))
        return "\n".join([self.title, "", *drawn, "", *(f"- {note}" for note in self.notes)])

    def data(self) -> dict[str, Any]:
        """All rounds, and the machine on which they were measured."""
        machine = {"system": platform.platform(), "python": platform.python_version()}
        return {"title": self.title, "machine": machine, "notes": self.notes, "rows": self.rows}

    def json(self) -> bytes:
        return msgspec.json.format(msgspec.json.encode(self.data()), indent=1) + b"\n"

    def chart(self, column: str) -> str:
        """The medians of one column as bars, with the range of the rounds; an SVG in the page's text colour."""
        rows = [row for row in self.rows if column in self.rows[row]]
        most = max(max(self.rows[row][column]) for row in rows) or 1.0
        height = (BAR + GAP) * len(rows) + 40
        bars = "".join(self._bar(row, column, index, most) for index, row in enumerate(rows))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif"'
            f' font-size="14" role="img" aria-label="{escape(self.title)}: {escape(column)}">\n'
            f"<style>text {{ fill: #333 }} @media (prefers-color-scheme: dark) {{ text {{ fill: #ddd }} }}</style>\n"
            f'<text x="0" y="18" font-weight="600">{escape(self.title)}: {escape(column)}</text>\n{bars}</svg>\n'
        )

    def _bar(self, row: str, column: str, index: int, most: float) -> str:
        values = self.rows[row][column]
        scale = (WIDTH - LEFT - 90) / most
        top, middle = 40 + index * (BAR + GAP), self.median(row, column)
        colour = "#0b7285" if row.startswith("tidegate") else "#adb5bd"
        centre = top + BAR // 2
        low, high = LEFT + min(values) * scale, LEFT + max(values) * scale
        return (
            f'<text x="{LEFT - 10}" y="{centre + 5}" text-anchor="end">{escape(row)}</text>'
            f'<rect x="{LEFT}" y="{top}" width="{middle * scale:.1f}" height="{BAR}" rx="2" fill="{colour}"/>'
            f'<path d="M{low:.1f} {centre}H{high:.1f}" stroke="#495057" stroke-width="2"/>'
            f'<text x="{high + 8:.1f}" y="{centre + 5}">{middle:.{self.columns[column]}f}</text>\n'
        )

    def _cell(self, row: str) -> Callable[[str], str]:
        def cell(column: str) -> str:
            values = self.rows[row].get(column)
            if not values:
                return ""
            digits = self.columns[column]
            shown = f"{statistics.median(values):.{digits}f}"
            if len(values) == 1:
                return shown
            return f"{shown} ({min(values):.{digits}f} - {max(values):.{digits}f})"

        return cell


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
