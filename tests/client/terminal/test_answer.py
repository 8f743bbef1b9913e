from __future__ import annotations

from itertools import count

import pytest
from screen_kit import Sheet, screens

from tidegate.client.terminal.answer import Answer

Shown = tuple[Answer, Sheet, Sheet]
DONE = ("completed", {"finish_reason": "stop", "usage": {"completion_tokens": 3, "estimated": False}})


def answer(*events: tuple[str, dict[str, object]], terminal: bool = True) -> Shown:
    """What is shown of these events, one a second."""
    screen, out, err = screens(out=terminal, err=terminal, NO_COLOR="1")
    seconds = count()
    shown = Answer(screen, lambda: float(next(seconds)))
    for kind, data in events:
        shown.show(kind, data)
    return shown, out, err


def delta(text: object) -> tuple[str, dict[str, object]]:
    return "delta", {"text": text}


def test_an_answer_is_its_text_and_what_it_took() -> None:
    """Tokens, and how many came in a second, are for somebody at a terminal."""
    shown, out, err = answer(delta("one "), delta("two "), delta("three"), DONE)
    assert (shown.text, shown.completed) == ("one two three", True)
    assert out.getvalue() == "one two three\n"
    assert err.getvalue() == "[3 tokens, 1.0 tokens/s]\n"
    assert answer(delta("one"), DONE, terminal=False)[2].getvalue() == ""


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"completion_tokens": 1, "estimated": False}, "[1 token]\n"),
        ({"completion_tokens": 9, "estimated": True}, "[about 9 tokens]\n"),
        ({}, ""),
        (None, ""),
        ({"completion_tokens": "9"}, ""),
    ],
)
def test_a_rate_needs_time_and_a_count(usage: object, told: str) -> None:
    """What came at once has none, and what nobody counted is not told."""
    assert answer(delta("x"), ("completed", {"finish_reason": "stop", "usage": usage}))[2].getvalue() == told


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (("completed", {"finish_reason": "length"}), "the answer was cut at the limit of tokens"),
        (("completed", {"finish_reason": "content_filter"}), "the answer was cut by a content filter"),
        (("cancelled", {"by": "server", "reason": "enough"}), "cancelled by server: enough"),
        (("failed", {"error": {"message": "it broke\x1b"}}), r"failed: it broke\x1b"),
        (("failed", {"error": None}), "failed: no reason given"),
    ],
)
def test_an_end_that_is_not_plain_is_said(event: tuple[str, dict[str, object]], said: str) -> None:
    """In a pipe as on a terminal; the text so far is kept."""
    shown, out, err = answer(delta("half"), event, terminal=False)
    assert (shown.text, out.getvalue(), err.getvalue()) == ("half", "half\n", f"tidegate: {said}\n")
    assert shown.completed == (event[0] == "completed")


def test_reasoning_is_dim_and_only_on_a_terminal() -> None:
    """It is no part of the answer, which begins below it."""
    thinks = ("reasoning", {"text": "hm"}), ("reasoning", {"text": "m"}), delta(""), delta("yes"), DONE
    shown, out, _ = answer(*thinks)
    assert (shown.text, out.getvalue()) == ("yes", "hmm\n\nyes\n")
    assert answer(*thinks, terminal=False)[1].getvalue() == "yes\n"


def test_a_call_of_a_tool_is_a_line() -> None:
    """Put together from its fragments; several are several lines."""
    _, out, err = answer(
        delta("so: "),
        ("tool_call", {"index": 0, "id": "a", "name": "look", "arguments": '{"at"'}),
        ("tool_call", {"index": 0, "id": None, "name": None, "arguments": ':"x"}'}),
        ("tool_call", {"index": 1, "name": "go", "arguments": "{}"}),
        ("completed", {"finish_reason": "tool_calls"}),
        terminal=False,
    )
    assert out.getvalue() == "so: \n"
    assert err.getvalue() == '\ntidegate: the model calls look({"at":"x"})\ntidegate: the model calls go({})\n'


def test_the_whole_takes_the_place_of_what_was_there() -> None:
    """Where it goes on from that, nothing is shown twice; where it does not, it is shown anew, and said."""
    shown, out, err = answer(delta("one "), ("snapshot", {"text": "one two"}), delta(" three"), DONE, terminal=False)
    assert (shown.text, out.getvalue(), err.getvalue()) == ("one two three", "one two three\n", "")
    shown, out, err = answer(delta("one"), ("snapshot", {"text": "uno dos"}), terminal=False)
    assert (shown.text, out.getvalue()) == ("uno dos", "one\nuno dos")
    assert err.getvalue() == "tidegate: some of it was lost on the way; here is the whole\n"


def test_what_a_newer_server_sends_does_no_harm() -> None:
    """Unknown events and other types print nothing."""
    shown, out, err = answer(("unheard-of", {"text": "x"}), ("started", {}), delta(None), delta([1]), terminal=False)
    assert (shown.text, out.getvalue(), err.getvalue()) == ("", "", "")


def test_halves_of_a_character_are_one() -> None:
    """In what is shown and in what is kept of it; a half that stays alone is an escape, dim where the thinking was."""
    shown, out, _ = answer(delta("a\ud83d"), delta("\ude00b"), DONE)
    assert (shown.text, out.getvalue()) == ("a😀b", "a😀b\n")
    _, out, _ = answer(("reasoning", {"text": "hm\ud83d"}), delta("\ude00b\ud83d"), DONE)
    assert out.getvalue() == "hm\\ud83d\n\n\\ude00b\\ud83d\n"
