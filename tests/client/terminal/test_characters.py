from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tidegate.client.terminal.characters import Characters

TEXTS = st.text(st.characters(exclude_categories=()) | st.sampled_from(["\ud83d", "\ude00", "😀"]))


def units(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


@given(st.lists(TEXTS))
def test_halves_that_meet_are_one_character(pieces: list[str]) -> None:
    """Wherever a text is cut, what is taken has all of it, in order, and no pair apart."""
    characters = Characters()
    taken = "".join([characters.take(piece) for piece in pieces]) + characters.rest()
    assert taken == units("".join(pieces)).decode("utf-16-le", "surrogatepass")
    assert characters.rest() == ""


def test_only_a_first_half_waits() -> None:
    """A second half that has no first will never be a character."""
    characters = Characters()
    assert [characters.take(piece) for piece in ("a\ud83d", "", "\ude00\ude00", "b")] == ["a", "", "😀\ude00", "b"]
    assert (characters.take("c\ud83d"), characters.rest()) == ("c", "\ud83d")
