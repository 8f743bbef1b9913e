from __future__ import annotations

import msgspec
import pytest

from tidegate.core.json_text import FAULT_BYTES, fault


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b'"\\ud83d"', "`\\ud83d` is a lone surrogate"),
        (b'"\\uDC00 x"', "`\\uDC00` is a lone surrogate"),
        (b'"\\ud83d\\u0041"', "`\\ud83d` is a lone surrogate"),
        (b'"\\ud83d\\ude00\\ud83d"', "`\\ud83d` is a lone surrogate"),
        (b'"\xed\xa0\xbd"', "a lone surrogate, half of a pair, as bytes"),
        (b'"\xe9"', "'utf-8' codec"),
        (b'["\\\\ud83d", 01]', "invalid number"),
        (b'"\\u12', "truncated"),
    ],
)
def test_what_is_wrong_is_said(text: bytes, words: str) -> None:
    """A lone surrogate is called one; of the rest the decoder's words are told."""
    with pytest.raises((msgspec.DecodeError, UnicodeDecodeError)) as caught:
        msgspec.json.decode(text)
    assert words in fault(caught.value, text)


def test_a_fault_is_looked_for_where_that_takes_no_time() -> None:
    """What is wrong far inside of megabytes has the decoder's words."""
    text = b'"' + b"\\n" * FAULT_BYTES + b'\\ud800"'
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.json.decode(text)
    assert fault(caught.value, text) == str(caught.value)
