from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec

from tidegate.client.doctor.finding import Code
from tidegate.client.doctor.fixes import FIXES
from tidegate.dialects.native_probe import Arrived

PAGE = (Path(__file__).parents[3] / "docs" / "doctor.md").read_text("utf-8")
SECTIONS: dict[str, str] = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def test_every_code_has_a_section() -> None:
    """Which says what it means, how it is found, and what to change, in the words of the command."""
    assert list(SECTIONS) == list(get_args(Code))
    for code, text in SECTIONS.items():
        assert "**Found by**: " in text
        assert re.findall(r"^- \*\*(.+?)\*\*: (.+)$", text, re.MULTILINE) == list(FIXES[code].items())


def test_every_field_of_a_probe_is_told() -> None:
    """And none that there is not."""
    table = PAGE.partition("| field | |")[2].partition("\n\n")[0]
    told = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1] if "|" in row else "")
    }
    assert told == {field.name for field in msgspec.structs.fields(Arrived)}
