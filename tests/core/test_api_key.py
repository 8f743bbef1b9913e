from __future__ import annotations

import pytest

from tidegate.core.api_key import fit_key, key_in
from tidegate.errors import ConfigError


@pytest.mark.parametrize("text", ["sk-1", "sk-1\n", " sk-1\r\n", "\tsk-1\u00a0"])
def test_white_space_around_a_key_is_not_part_of_it(text: str) -> None:
    """Files end in a line break, and clipboards bring spaces."""
    assert key_in("KEY", {"KEY": text}) == "sk-1"


@pytest.mark.parametrize("environ", [{}, {"KEY": ""}, {"KEY": " \n"}])
def test_without_a_key_it_is_empty(environ: dict[str, str]) -> None:
    """An empty variable is none."""
    assert key_in("KEY", environ) == ""


@pytest.mark.parametrize("key", ["a b", "a\nb", "a\r\nx: y", "clé", "a\x7f", "\udcff", "\u201csk\u201d", "a\x00"])
def test_what_cannot_stand_in_a_header_names_the_variable_and_not_the_key(key: str) -> None:
    """A field cannot be smuggled in, and the key does not end up in a log."""
    with pytest.raises(ConfigError) as caught:
        key_in("SOME_KEY", {"SOME_KEY": key})
    assert "the key in SOME_KEY" in caught.value.message
    assert key not in caught.value.message
    with pytest.raises(ConfigError, match="the API key cannot stand"):
        fit_key(key, "the API key")
