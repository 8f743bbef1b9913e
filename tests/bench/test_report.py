from __future__ import annotations

import xml.etree.ElementTree as ET

import msgspec
import pytest

from tidegate.bench.report import Table


@pytest.fixture
def table() -> Table:
    made = Table("Fan-out", {"us/token": 1, "KB/reader": 0})
    for cost in (7.0, 9.04, 8.0):
        made.add("tidegate", {"us/token": cost, "KB/reader": 12})
    made.add("Go <hub>", {"us/token": 16.0})
    return made


def test_the_table_shows_medians_with_the_range_of_the_rounds(table: Table) -> None:
    """One round has no range, and what was not measured has no figure."""
    assert table.text().splitlines()[2:6] == [
        "|          | us/token        | KB/reader    |",
        "| -------- | --------------- | ------------ |",
        "| tidegate | 8.0 (7.0 - 9.0) | 12 (12 - 12) |",
        "| Go <hub> | 16.0            |              |",
    ]


def test_notes_are_a_list_below_the_table(table: Table) -> None:
    """So that what is printed is a piece of Markdown as it stands."""
    table.notes += ["One.", "Another."]
    assert table.text().endswith("|\n\n- One.\n- Another.")


def test_the_file_has_every_round(table: Table) -> None:
    """So that others can take their own statistics."""
    rows = msgspec.json.decode(table.json())["rows"]
    assert rows["tidegate"]["us/token"] == [7.0, 9.04, 8.0]


def test_the_chart_has_a_bar_for_each_row_in_proportion(table: Table) -> None:
    """The SVG is well-formed whatever the names are."""
    drawn = ET.fromstring(table.chart("us/token"))
    widths = [float(bar.attrib["width"]) for bar in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    assert widths[1] == 2 * widths[0]
