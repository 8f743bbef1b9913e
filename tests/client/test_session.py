from __future__ import annotations

import pytest

from tidegate.client.session import Session, events_path
from tidegate.errors import UpstreamMalformed, UpstreamRefused

STREAM = "gen_1"


def session(after: str | None = None, random: float = 0.0) -> Session:
    return Session(STREAM, after=after, random=lambda: random)


def answer(to: Session, status: int = 200, body: bytes = b"", **headers: str) -> bool:
    fields = {"content-type": "text/event-stream; charset=utf-8"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    return to.answered(status, fields.get, lambda: body)


def connected(after: str | None = None, random: float = 0.0) -> Session:
    made = session(after, random)
    made.request()
    assert answer(made)
    return made


def test_streams_and_topics_have_their_own_paths() -> None:
    """Ids of generations begin with `gen_`; everything else is a topic's name, and cannot leave its place."""
    assert events_path("gen_ab") == "/v1/streams/gen_ab/events"
    assert events_path("room:1") == "/v1/topics/room%3A1/events"
    assert events_path("../admin?x") == "/v1/topics/..%2Fadmin%3Fx/events"


def test_the_first_request_begins_where_it_was_told() -> None:
    """Without a position at the beginning, with one after it."""
    assert session().request()[0] == "/v1/streams/gen_1/events"
    assert session(after="ab-1&x").request()[0] == "/v1/streams/gen_1/events?after=ab-1%26x"


def test_it_comes_back_with_the_last_id_it_has_seen() -> None:
    """`Last-Event-ID` takes the place of `after`, and an event that was cut off does not count."""
    reader = connected(after="ab-1")
    events = reader.feed(b'id: ab-2\nevent: delta\ndata: {"text":"a"}\n\nid: ab-3\nevent: delta\ndata: {"te')
    assert [event.data for event in events] == ['{"text":"a"}']
    reader.lost()
    path, headers = reader.request()
    assert path == "/v1/streams/gen_1/events"
    assert headers["last-event-id"] == "ab-2"
    assert answer(reader)
    assert [event.id for event in reader.feed(b"id: ab-3\nevent: delta\ndata: {}\n\n")] == ["ab-3"]


def test_a_position_survives_a_connection_without_events() -> None:
    """Two losses in a row do not begin anew."""
    reader = connected()
    reader.feed(b"id: ab-2\ndata: {}\n\n")
    for _ in range(2):
        reader.lost()
        assert reader.request()[1]["last-event-id"] == "ab-2"
        assert answer(reader)
        reader.feed(b": nothing\n\n")


@pytest.mark.parametrize("event", ["completed", "cancelled", "failed"])
def test_it_is_over_with_a_terminal_event(event: str) -> None:
    """Every stream ends once."""
    reader = connected()
    reader.feed(b'event: delta\ndata: {"text":"completed"}\n\n')
    assert not reader.ended
    reader.feed(f"event: {event}\ndata: {{}}\n\n".encode())
    assert reader.ended


def test_204_says_that_nothing_comes_after_this_position() -> None:
    """The server's way of saying so to those who have everything."""
    reader = session()
    assert not answer(reader, 204)
    assert reader.ended


def test_delays_double_and_begin_anew_once_it_is_answered() -> None:
    """1, 2, 4, 8 s; after the fifth failure in a row it is offline."""
    reader = session()
    assert [reader.lost() for _ in range(4)] == [1, 2, 4, 8]
    assert not reader.offline
    reader.lost()
    assert reader.offline
    assert answer(reader)
    assert not reader.offline
    assert reader.lost() == 1


def test_the_servers_retry_is_a_floor() -> None:
    """`retry:` in milliseconds: never sooner than the server wants."""
    reader = connected()
    reader.feed(b"retry: 3000\n\n")
    assert [reader.lost() for _ in range(3)] == [3, 3, 4]


def test_reconnect_says_when_to_come_back() -> None:
    """`after_ms` holds for the next connection, spread by chance, and only for that."""
    reader = connected(random=1.0)
    reader.feed(b'event: reconnect\ndata: {"after_ms":400,"reason":"draining"}\n\n')
    assert not reader.ended
    assert reader.lost() == pytest.approx(0.6)
    assert reader.lost() == pytest.approx(3.0)


@pytest.mark.parametrize("after_ms", [-5, 1e12])
def test_no_server_sends_a_reader_away_for_ever(after_ms: float) -> None:
    """Senseless delays become sensible ones."""
    reader = connected()
    reader.feed(f'event: reconnect\ndata: {{"after_ms":{after_ms}}}\n\n'.encode())
    assert 0 <= reader.lost() <= 300


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status: int) -> None:
    """Servers that restart, and proxies before them, answer so for a while."""
    reader = session()
    assert not answer(reader, status)
    assert not reader.ended
    assert reader.lost() == 1


def test_retry_after_is_obeyed() -> None:
    """In seconds; what is no number is as if it were not there."""
    reader = session()
    answer(reader, 503, retry_after="7")
    assert reader.lost() == 7
    answer(reader, 503, retry_after="Wed, 21 Oct 2026 07:28:00 GMT")
    assert reader.lost() == 2


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410])
def test_what_will_not_change_is_refused(status: int) -> None:
    """Asking again would not help; the message is the server's own where it has one."""
    with pytest.raises(UpstreamRefused, match=rf"there is none \({status}\)"):
        answer(session(), status, b'{"error":{"message":"there is none"}}')
    with pytest.raises(UpstreamRefused, match=f"answered {status}"):
        answer(session(), status, b"<html>")


def test_an_answer_that_is_no_event_stream_is_refused() -> None:
    """A proxy's page of its own is not mistaken for a stream without events."""
    with pytest.raises(UpstreamMalformed):
        answer(session(), 200, content_type="text/html")


def test_a_reconnect_that_cannot_be_read_is_an_error() -> None:
    """A server that breaks the protocol is not guessed at."""
    with pytest.raises(UpstreamMalformed):
        connected().feed(b"event: reconnect\ndata: soon\n\n")


@pytest.mark.parametrize("header", ["-5", "1e9", "soon", "", "Fri, 31 Dec 99999 23:59:59 GMT", "NaN", "٣", "9" * 5000])
def test_a_retry_after_that_is_no_number_counts_for_nothing(header: str) -> None:
    """Negative, text, a date of any year: it comes back when it would have anyway."""
    reader = session()
    answer(reader, 503, retry_after=header)
    assert reader.lost() == 1


def test_a_retry_after_of_years_is_cut() -> None:
    """No server silences a reader for longer than five minutes."""
    reader = session()
    answer(reader, 503, retry_after="999999999")
    assert reader.lost() == 300


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "caf\xe9"}}', "caf\ufffd (400)"),
        (b'{"error": {"message": "x", "code": NaN}}', "x (400)"),
        (b'{"error": "text"}', "text (400)"),
        (b'{"detail": "text"}', "text (400)"),
        (b'{"error": {"message": null}}', "the server answered 400"),
        (b'{"error": {"message": {"a": 1}}}', "the server answered 400"),
        (b"[" * 100_000, "the server answered 400"),
        (b"\xff\xfe", "the server answered 400"),
        (b"", "the server answered 400"),
    ],
)
def test_an_error_is_told_as_well_as_it_can_be_read(body: bytes, said: str) -> None:
    """Bytes that are not UTF-8, NaN, other shapes, nesting without end, nothing at all."""
    with pytest.raises(UpstreamRefused) as caught:
        answer(session(), 400, body)
    assert caught.value.message == said


def test_a_redirect_is_told_with_its_place() -> None:
    """It is not followed, since the key would go along; its user and query may be secret."""
    with pytest.raises(UpstreamRefused, match=r"redirects to https://\*\*\*@x/y\?\*\*\*: give that .* \(308\)"):
        answer(session(), 308, location="https://u:p@x/y?key=p")


def test_an_event_stream_that_was_compressed_unasked_is_refused() -> None:
    """Its bytes would be taken for events that are not there."""
    with pytest.raises(UpstreamMalformed, match="compressed although nobody asked"):
        answer(session(), content_encoding="gzip")


@pytest.mark.parametrize("data", ['{"after_ms":NaN}', '{"after_ms":"5"}', "[" * 100_000, '"\\ud800"', "{}"])
def test_a_reconnect_of_any_kind_is_no_traceback(data: str) -> None:
    """What cannot be read is a typed error."""
    with pytest.raises(UpstreamMalformed, match="a reconnect event without after_ms"):
        connected().feed(f"event: reconnect\ndata: {data}\n\n".encode())


def test_names_and_positions_of_any_bytes_make_a_path() -> None:
    """What a shell hands over need not be UTF-8."""
    reader = Session("\udcff", after="\udcff", random=lambda: 0.0)
    assert reader.request()[0] == "/v1/topics/%3F/events?after=%3F"
