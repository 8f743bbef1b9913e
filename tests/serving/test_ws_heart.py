from __future__ import annotations

import pytest

from tidegate.serving.ws_heart import Beat, Heart, HeartRates, Liveness

RATES = HeartRates(ping_seconds=30, idle_seconds=60, probe_seconds=10, probes=3)


def beats(heart: Heart, until: float) -> list[tuple[float, Beat]]:
    """What is done when, up to a time, by one who asks whenever it is due and hears nothing."""
    done: list[tuple[float, Beat]] = []
    while heart.due <= until:
        now = heart.due
        beat = heart.beat(now)
        if beat is not Beat.REST:
            done.append((now, beat))
        if beat is Beat.LOST:
            break
    return done


def test_a_client_that_is_silent_is_probed_and_lost() -> None:
    """Pings, from the sixtieth second on probes, and ten seconds after the third of them the end."""
    assert beats(Heart(RATES, 0), 1000) == [
        (30, Beat.PING),
        (60, Beat.PING),
        (70, Beat.PING),
        (80, Beat.PING),
        (90, Beat.LOST),
    ]


def test_a_client_that_answers_is_only_pinged() -> None:
    """An answer to each ping keeps a connection for ever."""
    heart = Heart(RATES, 0)
    pings = 0
    while heart.due < 3600:
        now = heart.due
        if heart.beat(now) is Beat.PING:
            pings += 1
            heart.heard(now + 0.1)
    assert pings == 119


@pytest.mark.parametrize("heard", [60.5, 75, 89.9])
def test_whatever_answers_a_probe_counts(heard: float) -> None:
    """From then on the silence begins anew, and so do the probes."""
    heart = Heart(RATES, 0)
    beats(heart, heard)
    assert heart.liveness is Liveness.PROBING
    heart.heard(heard)
    assert heart.liveness is not Liveness.PROBING
    assert beats(heart, 1000)[-4:] == [
        (heard + 60, Beat.PING),
        (heard + 70, Beat.PING),
        (heard + 80, Beat.PING),
        (heard + 90, Beat.LOST),
    ]


def test_who_answers_but_says_nothing_is_idle() -> None:
    """Pongs are no messages; a message makes active at once."""
    heart = Heart(RATES, 0)
    heart.heard(59)
    assert heart.due == 30
    heart.beat(59)
    assert heart.liveness is Liveness.ACTIVE
    assert heart.due == 60
    assert heart.beat(60) is Beat.REST
    assert heart.liveness is Liveness.IDLE
    heart.message(61)
    assert heart.liveness is Liveness.ACTIVE


def test_asked_too_early_it_rests() -> None:
    """Timers that fire before their time change nothing."""
    heart = Heart(RATES, 0)
    assert heart.beat(29.999) is Beat.REST
    assert heart.due == 30
    beats(heart, 60)
    assert heart.beat(69.999) is Beat.REST
    assert heart.due == 70
