from __future__ import annotations

from screen_kit import screens

from tidegate.client import Detail, TidegateError
from tidegate.client.terminal.connection_note import ConnectionNote

BROKE = TidegateError("it broke\x1b")


def test_on_a_terminal_an_outage_is_a_note_that_goes_away() -> None:
    """With when it is tried again, and why: the reason is what may be cut."""
    screen, _, err = screens(out=True, err=True, NO_COLOR="1")
    note = ConnectionNote(screen)
    note("reconnecting", Detail(1.2, BROKE))
    assert note.is_lost
    note("reconnecting", Detail(2.0, BROKE))
    note("connecting", Detail())
    note("streaming", Detail())
    assert not note.is_lost
    first, second = (f"not connected, again in {seconds} s: it broke\\x1b" for seconds in (1, 2))
    assert err.getvalue() == f"{first}\r\x1b[2K{second}\r\x1b[2K"


def test_elsewhere_an_outage_is_one_line() -> None:
    """Not one at each try, nor for a proxy that answers and hangs up; what breaks after an event is a new one."""
    screen, _, err = screens(out=False, err=False)
    note = ConnectionNote(screen)
    for _ in range(3):
        note("reconnecting", Detail(1.0, BROKE))
        note("streaming", Detail())
    line = "tidegate: not connected, trying until it answers: it broke\\x1b\n"
    assert err.getvalue() == line
    note.held()
    note("reconnecting", Detail(1.0, BROKE))
    assert err.getvalue() == line * 2


def test_a_server_that_sends_its_readers_away_has_not_broken_anything() -> None:
    """It says when to come back, and nothing is said of that."""
    screen, _, err = screens(out=True, err=True)
    note = ConnectionNote(screen)
    note("reconnecting", Detail(1.0))
    assert (err.getvalue(), note.is_lost) == ("", False)
