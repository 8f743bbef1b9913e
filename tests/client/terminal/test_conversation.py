from __future__ import annotations

from tidegate.client.terminal.conversation import Conversation


def message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def test_what_was_said_goes_along() -> None:
    """In its order, with the question last."""
    talk = Conversation()
    talk.keep("one?", "one")
    talk.keep("two?", "tw")
    assert talk.request("three?", "m") == {
        "model": "m",
        "messages": [
            message("user", "one?"),
            message("assistant", "one"),
            message("user", "two?"),
            message("assistant", "tw"),
            message("user", "three?"),
        ],
    }


def test_a_question_without_an_answer_is_not_kept() -> None:
    """Models expect turns, and some refuse two questions in a row."""
    talk = Conversation()
    talk.keep("one?", "")
    assert talk.request("two?", "m")["messages"] == [message("user", "two?")]


def test_a_new_conversation_knows_nothing() -> None:
    """Nothing of the old one goes along."""
    talk = Conversation()
    talk.keep("one?", "one")
    talk.clear()
    assert talk.request("two?", "m")["messages"] == [message("user", "two?")]


def test_half_a_character_does_not_end_a_conversation() -> None:
    """A model may write one, and JSON cannot carry it back."""
    talk = Conversation()
    talk.keep("one?", "a\ud83d")
    assert talk.request("two?", "m")["messages"][1] == message("assistant", "a?")
