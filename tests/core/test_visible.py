from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.core.visible import visible, visible_line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("safe\rEVIL", "safe\\rEVIL"),
        ("\x08\x0b\x0c\x00", "\\x08\\x0b\\x0c\\x00"),
        ("\x7f", "\\x7f"),
        ("\x9b31m\x85", "\\x9b31m\\x85"),
        ("\u202etxt.exe\u202c \u2066x\u2069", "\\u202etxt.exe\\u202c \\u2066x\\u2069"),
        ("one\u2028two\u2029", "one\\u2028two\\u2029"),
        ("\ud83d lost", "\\ud83d lost"),
    ],
)
def test_what_steers_is_shown_as_its_escape(text: str, shown: str) -> None:
    """Control characters of both sets, bidi controls, line separators and lone surrogates."""
    assert visible(text) == shown


@pytest.mark.parametrize("text", ["a\tb\nc", "\u3000\u00a0é 漢字 שלום", "👩‍👩‍👧 \u200f", "\\x1b"])
def test_text_stays_as_it_is(text: str) -> None:
    """Newlines and tabs, spaces of every script, joined emoji, and backslashes that were there."""
    assert visible(text) == text


def test_a_line_is_one_line() -> None:
    """Where a newline would begin the next message, it is an escape."""
    assert visible_line("one\ntwo\r\n") == "one\\ntwo\\r\\n"


@given(st.text(st.characters()))
def test_nothing_that_steers_is_left(text: str) -> None:
    """Whatever comes: no control character but newline and tab, and it can be written as UTF-8."""
    shown = visible(text)
    shown.encode()
    assert not [each for each in shown if unicodedata.category(each) in ("Cc", "Cs") and each not in "\n\t"]


@given(st.text(), st.text())
def test_pieces_are_shown_as_the_whole_is(first: str, second: str) -> None:
    """A sequence that is split over two events is no way around it."""
    assert visible(first) + visible(second) == visible(first + second)
