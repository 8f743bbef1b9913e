"""The two READMEs say the same: a heading, a command or a program that one has, the other has, too."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGLISH, CHINESE = ((ROOT / name).read_text("utf-8") for name in ("README.md", "README.zh-CN.md"))

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"\s+#\s.*$", re.MULTILINE)


def blocks(text: str) -> list[tuple[str, str]]:
    return [(language, COMMENT.sub("", code)) for language, code in BLOCK.findall(text)]


def levels(text: str) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#+) ", BLOCK.sub("", text), re.MULTILINE)]


def links(text: str) -> list[str]:
    return sorted(link for link in re.findall(r"\]\(([^)]+)\)", text) if not link.startswith("README"))


def addresses(text: str) -> list[str]:
    return re.findall(r"http://127[^\s,)]+", BLOCK.sub("", text))


def test_both_readmes_have_the_same_headings() -> None:
    """Sections stand in the same order, at the same depth."""
    assert levels(ENGLISH) == levels(CHINESE)


def test_both_readmes_give_the_same_commands_and_programs() -> None:
    """All that can be copied is the same to the letter; only the comments on commands are translated."""
    assert blocks(ENGLISH) == blocks(CHINESE)


def test_both_readmes_lead_to_the_same_places() -> None:
    """Every page, picture and address that one names, the other names as often."""
    assert links(ENGLISH) == links(CHINESE)
    assert [each.rstrip(".") for each in addresses(ENGLISH)] == [each.rstrip(".") for each in addresses(CHINESE)]


def test_both_readmes_have_as_many_guarantees() -> None:
    """No point of a list is missing in a translation."""
    assert ENGLISH.count("\n- **") == CHINESE.count("\n- **")
