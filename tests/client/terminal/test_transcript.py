from __future__ import annotations

import pytest

from tidegate.client.terminal.transcript import Transcript


@pytest.mark.parametrize(
    ("pieces", "whole", "continues", "rest"),
    [
        (["one ", "two"], "one two three", True, " three"),
        (["one ", "two"], "one", False, "one"),
        (["a\ud83d"], "a😀b", True, "\ude00b"),
        (["a\ud83d", "\ude00"], "a😀b", True, "b"),
        (["a\ud83d"], "a\ud83db", True, "b"),
        (["a\ud83d"], "ab", False, "ab"),
    ],
)
def test_the_whole_shows_only_what_is_new(pieces: list[str], whole: str, continues: bool, rest: str) -> None:
    """Where it continues what there was, of which the last may be half a character."""
    transcript = Transcript()
    for piece in pieces:
        transcript.add(piece)
    assert transcript.replace(whole) == (continues, rest)
    assert transcript.text == whole
