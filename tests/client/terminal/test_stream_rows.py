from __future__ import annotations

import pytest

from tidegate.client.terminal.ages import age
from tidegate.client.terminal.cells import width
from tidegate.client.terminal.stream_rows import line, row, words

ID = "gen_59af16634fd2508a8c9d67ebe96670f1"


def stream(**changed: object) -> dict[str, object]:
    usage = {"prompt_tokens": 1, "completion_tokens": 42, "total_tokens": 43, "estimated": False}
    return {"id": ID, "model": "smollm2", "status": "completed", "usage": usage, "created_at": 1000.4, **changed}


@pytest.mark.parametrize(
    ("seconds", "told"), [(-5, "0 s"), (59.9, "59 s"), (60, "1 min"), (7199, "1 h"), (86400, "1 d"), (8.64e7, "1000 d")]
)
def test_an_age_has_one_unit(seconds: float, told: str) -> None:
    """The largest; a clock that is behind makes nothing negative."""
    assert age(seconds) == told


def test_a_row_has_what_tells_a_stream_from_others() -> None:
    """And fits into 80 columns, with its id whole."""
    assert row(stream(), 1120.0, 80) == f"{ID}  completed   1 min      42 tokens  smollm2"
    assert row(stream(status="running", usage=None), 1000.0, 80) == f"{ID}  running       0 s                 smollm2"
    long = row(stream(model="gpt-4o-mini-2024-07-18"), 1120.0, 80)
    assert width(long) <= 80
    assert long.startswith(ID)


def test_below_it_stands_what_was_asked() -> None:
    """In one line; where nothing was asked, as of a client's own stream, how the text begins."""
    assert words({"question": "Why is\nthe  sky blue?", "text": "Because"}, 80) == "  Why is the sky blue?"
    assert words({"question": None, "text": "log line 1"}, 80) == "  log line 1"
    assert words({"question": None, "text": ""}, 80) == ""
    assert words({"question": "天空为什么是蓝色的" * 9}, 20) == "  天空为什么是蓝色…"


def test_a_program_gets_tabs() -> None:
    """Times as numbers, and empty fields where nothing is known."""
    assert line(stream()) == f"{ID}\tcompleted\tsmollm2\t1000\t42"
    assert line({"id": ID}) == f"{ID}\t\t\t0\t"


def test_a_model_cannot_steer_a_terminal_by_its_name() -> None:
    """Nor add a field or a line."""
    evil = stream(model="a\x1b[31m\tb\nc")
    assert row(evil, 1000.0, 200).endswith("  a\\x1b[31m\\tb\\nc")
    assert line(evil).split("\t")[2] == "a\\x1b[31m\\tb\\nc"
    assert words({"question": "\x1b]0;x\x07"}, 80) == "  \\x1b]0;x\\x07"
