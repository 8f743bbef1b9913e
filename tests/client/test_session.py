from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.client.head import Head
from tidegate.client.session import Asked, Event, Session
from tidegate.errors import UpstreamMalformed

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "conformance/session.json").read_text("utf-8"))

Step = dict[str, Any]


def head(step: Step) -> Head:
    fields = {"content-type": step.get("content_type", "text/event-stream")}
    if "retry_after_ms" in step:
        fields["retry-after-ms"] = str(step["retry_after_ms"])
    if step.get("should_retry") is False:
        fields["x-should-retry"] = "false"
    return Head(step["status"], fields)


class Run:
    """One vector on one session."""

    def __init__(self, vector: dict[str, Any]) -> None:
        self.dice = 0.0
        self.session = Session(
            is_topic=vector.get("kind") == "topic", random=lambda: self.dice, **vector.get("options", {})
        )
        self.does: dict[str, Callable[[Step], None]] = {
            "ask": self.ask,
            "answered": self.answered,
            "comment": lambda step: self.session.comment(step["text"]),
            "retry": lambda step: self.session.retry(step["ms"]),
            "event": self.event,
            "lost": self.lost,
            "wake": lambda _: self.session.wake(),
        }

    def take(self, step: Step) -> None:
        self.does[step["do"]](step)
        counts = self.session.counts
        assert step.get("counts", {}).items() <= {name: getattr(counts, name) for name in counts.__slots__}.items()
        assert self.session.silence == pytest.approx(step.get("silence", self.session.silence))

    def ask(self, step: Step) -> None:
        assert self.session.ask() == Asked(step["after"] or "", step["snapshot"])

    def answered(self, step: Step) -> None:
        assert self.session.answered(head(step)) == step["is"]

    def event(self, step: Step) -> None:
        text = step["json"] if "json" in step else json.dumps(step["data"])
        if step.get("error"):
            with pytest.raises(UpstreamMalformed):
                self.session.event(step["event"], text, step.get("id"))
            return
        seen = step["seen"]
        expected = Event(seen["type"], seen["data"], seen["cursor"] or "") if seen else None
        assert self.session.event(step["event"], text, step.get("id")) == expected
        assert self.session.leaving == step.get("leave", False)

    def lost(self, step: Step) -> None:
        self.dice = step["random"]
        delay = self.session.lost()
        assert delay == (None if step["delay"] is None else pytest.approx(step["delay"]))
        state = "ended" if self.session.ended else "offline" if self.session.offline else "reconnecting"
        assert state == step["state"]


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_does_as_the_vectors_say(vector: dict[str, Any]) -> None:
    """A session asks, shows, waits and ends as every client of tidegate does."""
    run = Run(vector)
    for number, step in enumerate(vector["steps"]):
        try:
            run.take(step)
        except AssertionError as error:
            raise AssertionError(f"step {number}: {step}: {error}") from error


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("comment"), st.text()),
            st.tuples(st.just("retry"), st.integers(0, 10**15)),
            st.tuples(
                st.just("event"),
                st.sampled_from(["delta", "completed", "gap", "snapshot", "reconnect", "subscribed", "x"]),
                st.one_of(st.text(), st.just("{}"), st.just('{"after_ms": 5}'), st.just("1e999")),
                st.one_of(st.none(), st.text(), st.from_regex(r"e-[0-9]{1,3}", fullmatch=True)),
            ),
            st.tuples(st.just("lost")),
        )
    ),
    st.booleans(),
)
def test_whatever_a_server_sends_nothing_is_shown_twice(steps: list[tuple[Any, ...]], is_topic: bool) -> None:
    """No bytes of a stranger make a crash, a wait that is none, or an event that is behind the position before it."""
    session = Session(is_topic=is_topic, random=lambda: 0.5)
    for do, *arguments in steps:
        if do == "lost":
            delay = session.lost()
            assert (delay is None) == (session.ended or session.offline)
            assert delay is None or 0 <= delay <= 450
            session.ask()
            continue
        before = session.cursor
        try:
            shown = getattr(session, do)(*arguments)
        except UpstreamMalformed:
            continue
        if shown is not None and shown.type in ("delta", "x") and arguments[2]:
            assert shown.cursor != before
