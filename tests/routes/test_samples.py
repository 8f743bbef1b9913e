"""The samples of `/openapi.json` are what is sent and taken."""

from __future__ import annotations

import msgspec
import pytest

from tidegate.core import events, notices, sse
from tidegate.core.cursor import parse
from tidegate.core.steps import Steps
from tidegate.dialects import native_socket
from tidegate.dialects.native_events import EVENTS
from tidegate.routes.samples import SOCKET_CALLS, STREAM_EVENTS, TOPIC_EVENTS, EventKind, EventStream, SocketCall

KINDS = {kind.event: kind for kind in (*STREAM_EVENTS.kinds, *TOPIC_EVENTS.kinds)}
LOGGED = ("started", "delta", "reasoning", "tool_call", "completed", "cancelled", "failed")
NOTICES = (
    notices.Gap(parse("5k2q-7"), parse("5k2q-40")),
    notices.Reconnect(250, "draining"),
    notices.Subscribed(parse("9c1x-11"), b"null"),
    notices.Presence(("key:ada",), ()),
)


def run(steps: Steps[native_socket.Request]) -> native_socket.Request:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


@pytest.mark.parametrize("name", LOGGED)
def test_a_logged_event_is_one(name: str) -> None:
    """The sample of an event is the JSON form of that event, with no field more or less."""
    form = msgspec.json.encode({"type": name, **KINDS[name].data})
    assert events.encode(events.decode(form)) == form


@pytest.mark.parametrize("notice", NOTICES, ids=lambda notice: type(notice).__name__)
def test_a_notice_is_sent_so(notice: notices.Notice) -> None:
    """What the gate itself tells a reader is sent as the sample shows it."""
    sent = EVENTS.notice(None, notice)
    assert any(sent.decode().endswith(kind.block()) for kind in KINDS.values())


def test_a_published_message_is_sent_so() -> None:
    """A topic's message has the fields of its sample."""
    made = events.Published(data=msgspec.Raw(b'{"text":"Good morning"}'), sender="key:ada", at=1764403200.25)
    name, data = events.wire_form(events.encode(made))
    assert (name.decode(), msgspec.json.decode(data)) == ("message", KINDS["message"].data)


@pytest.mark.parametrize("stream", [STREAM_EVENTS, TOPIC_EVENTS], ids=lambda stream: stream.name)
def test_a_sample_is_read_as_its_events(stream: EventStream) -> None:
    """What a sample shows is an event stream of the kinds beside it."""
    decoder = sse.Decoder()
    read = [event.event for event in decoder.feed(stream.sample.encode())]
    assert read
    assert {*read} <= {kind.event for kind in stream.kinds}


@pytest.mark.parametrize("sample", SOCKET_CALLS, ids=lambda sample: sample.op)
def test_a_call_is_taken_so(sample: SocketCall) -> None:
    """Each call's sample is one that the WebSocket takes."""
    made = run(native_socket.request(native_socket.CODECS["tidegate.v1"], sample.op, sample.call))
    assert isinstance(made, native_socket.OPS[sample.op])


def test_every_call_is_shown() -> None:
    """The WebSocket takes no call without a sample."""
    assert [sample.op for sample in SOCKET_CALLS] == list(native_socket.OPS)


def test_an_event_without_a_place_has_no_id() -> None:
    """What is no part of a log has no cursor to come back with."""
    assert {kind.event for kind in KINDS.values() if not kind.id} == {"presence", "reconnect"}
    assert EventKind(event="presence", about="", data={}).block() == "event: presence\ndata: {}\n\n"
