from __future__ import annotations

import pytest
from screen_kit import screens

EVIL = "\x1b[31m\x07\u202e"
SHOWN = r"\x1b[31m\x07\u202e"


def test_text_goes_to_stdout_and_messages_to_stderr() -> None:
    """A message ends a line that was begun, once, and the text goes on in it."""
    screen, out, err = screens(out=False, err=False)
    screen.text("one ")
    screen.say("gone")
    screen.say("back")
    screen.text("two")
    screen.end_line()
    assert out.getvalue() == "one two\n"
    assert err.getvalue() == "\ntidegate: gone\ntidegate: back\n"


def test_on_a_terminal_a_message_has_ended_the_line() -> None:
    """No empty line follows."""
    screen, out, err = screens(out=True, err=True)
    screen.text("one")
    screen.say("gone")
    screen.end_line()
    assert (out.getvalue(), err.getvalue()) == ("one", "\ntidegate: gone\n")


def test_a_note_goes_away() -> None:
    """It erases itself and nothing else; the one after takes its place."""
    screen, out, err = screens(out=True, err=True, NO_COLOR="1")
    screen.note("one")
    screen.note("two")
    screen.text("text")
    screen.text(" more")
    assert err.getvalue() == "one\r\x1b[2Ktwo\r\x1b[2K"
    assert out.getvalue() == "text more"


def test_a_note_within_a_line_stands_below_it() -> None:
    """The terminal scrolls first, then the place is remembered, and gone back to."""
    screen, _, err = screens(out=True, err=True, NO_COLOR="1")
    screen.text("half a li")
    screen.note("away")
    screen.text("ne")
    assert err.getvalue() == "\x1bD\x1bM\x1b7\r\naway\r\x1b[2K\x1b8"


def test_a_note_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is cut where the terminal ends: what wraps could not be erased."""
    monkeypatch.setenv("COLUMNS", "10")
    screen, _, err = screens(out=True, err=True, NO_COLOR="1")
    screen.note("连接已断开\n连接已断开")
    assert err.getvalue() == "连接已断…"


@pytest.mark.parametrize("environ", [{"TERM": "dumb"}, {"TERM": ""}])
def test_what_is_no_terminal_gets_plain_lines(environ: dict[str, str]) -> None:
    """No notes, no remarks, no colours."""
    for screen, out, err in (screens(out=False, err=False), screens(out=True, err=True, **environ)):
        screen.note("note")
        screen.remark("remark")
        screen.text("text\n", dim=True)
        assert (out.getvalue(), err.getvalue()) == ("text\n", "")


def test_no_color_is_obeyed() -> None:
    """Notes still come and go: that is no colour."""
    for colour, shown in (("", "\x1b[2m[remark]\x1b[0m\n"), ("1", "[remark]\n")):
        screen, out, err = screens(out=True, err=True, NO_COLOR=colour)
        screen.remark("remark")
        screen.text("text", dim=True)
        assert err.getvalue() == shown
        assert ("\x1b" in out.getvalue()) == (not colour)


def test_nothing_that_others_wrote_steers_a_terminal() -> None:
    """In text, dim text, messages, remarks and notes."""
    screen, out, err = screens(out=True, err=True, NO_COLOR="1")
    screen.text(EVIL)
    screen.text(EVIL, dim=True)
    screen.end_line()
    screen.say(EVIL)
    screen.remark(EVIL)
    screen.note(EVIL)
    assert out.getvalue() == f"{SHOWN}{SHOWN}\n"
    assert err.getvalue() == f"tidegate: {SHOWN}\n[{SHOWN}]\n{SHOWN}"
