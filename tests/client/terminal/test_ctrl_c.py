from __future__ import annotations

import io
import json
import signal
import threading
from typing import cast

import pytest
from port_kit import free_port
from screen_kit import Sheet
from scripted_kit import Scripted, head

from tidegate.client import Client
from tidegate.client.terminal.chat import Chat
from tidegate.client.terminal.ctrl_c import first_stops
from tidegate.client.terminal.prompt import Prompt
from tidegate.client.terminal.screen import Screen
from tidegate.client.terminal.talk import MOMENT_SECONDS, Talk

WAIT_SECONDS = 30.0


class Interrupted(Sheet):
    """A stdout at which somebody presses Ctrl-C when the first word stands there."""

    def write(self, text: str) -> int:
        if text == "word":
            signal.raise_signal(signal.SIGINT)
        return super().write(text)


def test_an_answer_that_does_not_end_is_left_in_the_end() -> None:
    """A server that has fallen silent holds nobody: the second Ctrl-C comes by itself."""

    def hang() -> None:
        with first_stops(lambda: True, patience=0.01):
            signal.raise_signal(signal.SIGINT)
            threading.Event().wait(WAIT_SECONDS)

    with pytest.raises(KeyboardInterrupt):
        hang()


def test_a_second_ctrl_c_may_follow_at_once() -> None:
    """While the first one is still about to stop the answer."""
    stops = 0

    def stop() -> bool:
        nonlocal stops
        stops += 1
        if stops == 1:
            signal.raise_signal(signal.SIGINT)
        return True

    def hang() -> None:
        with first_stops(stop, patience=WAIT_SECONDS):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        hang()
    assert stops == 1


def test_an_answer_that_ends_in_time_is_not_left() -> None:
    """Nothing comes behind it."""
    with first_stops(lambda: True, patience=WAIT_SECONDS):
        signal.raise_signal(signal.SIGINT)
    assert not any(
        isinstance(thread, threading.Timer) and not thread.finished.is_set() for thread in threading.enumerate()
    )


@pytest.mark.parametrize(("seconds", "prompts"), [(MOMENT_SECONDS / 2, 3), (MOMENT_SECONDS * 2, 2)])
def test_a_second_ctrl_c_that_meets_the_prompt_is_not_for_it(seconds: float, prompts: int) -> None:
    """Right after an answer that was stopped it does nothing; later it ends the program, as at any empty prompt."""
    asked = 0
    now = 0.0

    def ask(_: str) -> str:
        nonlocal asked, now
        asked += 1
        if asked == 1:
            return "go on"
        if asked == 2:
            now += seconds
            raise KeyboardInterrupt
        raise EOFError

    answer = b'event: delta\ndata: {"text":"word"}\n\nevent: cancelled\ndata: {"by":"client"}\n\n'
    done = json.dumps({"status": "cancelled", "cursor": "e-2"}).encode()
    with Scripted(head(tidegate_stream="gen_1") + answer, head(kind="application/json") + done) as server:
        screen = Screen(Interrupted(terminal=True), io.StringIO(), {})
        client = Client(server.url, attempts=0)
        chat = Chat(client, client, client, screen, ["m"], "m", lambda: now)
        talk = Talk(chat, screen, Prompt(ask), lambda: now)
        if prompts == 2:
            with pytest.raises(KeyboardInterrupt):
                talk.run()
        else:
            talk.run()
    assert (asked, chat.stopped) == (prompts, True)


def test_whoever_ends_the_program_waits_for_what_asks_the_server_to_stop() -> None:
    """For a moment: a thread that wakes up while the interpreter is taken down may crash it."""
    answered, told = threading.Event(), list[str]()

    class Slow:
        def cancel(self, stream: str) -> None:
            assert answered.wait(WAIT_SECONDS)
            told.append(stream)

    answer = b'event: delta\ndata: {"text":"word"}\n\nevent: cancelled\ndata: {"by":"client"}\n\n'
    with Scripted(head(tidegate_stream="gen_1") + answer) as server:
        client, screen = Client(server.url, attempts=0), Screen(Interrupted(terminal=True), io.StringIO(), {})
        chat = Chat(client, cast("Client", Slow()), client, screen, ["m"], "m", lambda: 0.0)
        chat.ask("go on")
        timer = threading.Timer(0.05, answered.set)
        timer.start()
        assert chat.leave()
        assert told == ["gen_1"]
        timer.join()


class InterruptedWait(Sheet):
    """A stderr at which somebody presses Ctrl-C when it says that the question has to wait."""

    def write(self, text: str) -> int:
        signal.raise_signal(signal.SIGINT)
        return super().write(text)


def given_up(url: str) -> Chat:
    """A chat whose question was given up while it waited."""
    patient, parting = Client(url, attempts=None), Client(url)
    screen = Screen(Sheet(terminal=False), InterruptedWait(terminal=False), {})
    chat = Chat(patient, patient, parting, screen, ["m"], "m", lambda: 0.0)
    with pytest.raises(KeyboardInterrupt):
        chat.ask("go on")
    return chat


def test_a_question_that_was_refused_is_not_asked_again_to_be_stopped() -> None:
    """The server has begun nothing: it would begin now, and what is begun is paid for."""
    with Scripted(head(429, kind="application/json", retry_after="30")) as server:
        assert given_up(server.url).leave()
    assert len(server.requests) == 1


def test_a_question_that_never_arrived_is_not_asked_again_to_be_stopped() -> None:
    """A server that is started now has nothing to stop."""
    assert given_up(f"http://127.0.0.1:{free_port()}").leave()
