from __future__ import annotations

import pytest

from tidegate.client.terminal.cells import fitted, padded, width


def test_chinese_is_twice_as_wide() -> None:
    """And an accent that stands on the letter before it takes no place."""
    assert [width(text) for text in ("", "abc", "你好", "e\u0301", "ａ")] == [0, 3, 4, 1, 2]


@pytest.mark.parametrize(
    ("text", "cells", "shown"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("你好吗", 6, "你好吗"),
        ("你好吗", 5, "你好…"),
        ("你好吗", 4, "你…"),
        ("ab", 1, "…"),
    ],
)
def test_a_text_is_cut_to_its_cells(text: str, cells: int, shown: str) -> None:
    """Never in half of a character, and never over."""
    assert fitted(text, cells) == shown
    assert width(shown) <= cells


def test_columns_of_wide_characters_align() -> None:
    """Spaces fill up cells, not characters."""
    assert (padded("你", 4), padded("ab", 4), padded("abcde", 4)) == ("你  ", "ab  ", "abcde")
