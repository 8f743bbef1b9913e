"""How responses are read from one connection."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from receiver_kit import Collector

from tidegate.http_client.connection import MAX_OVERHEAD_BYTES, TURN_BYTES, ClientConnection
from tidegate.http_client.errors import BrokenOff, ClosedUnanswered, MalformedResponse, TooLarge


class Wire(asyncio.Transport):
    """A transport without a socket: the test plays the network."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def abort(self) -> None:
        self.aborted = True


def exchange(*reads: bytes, eof: bool = False) -> Collector:
    """Sends a request and reads the response in these pieces."""
    connection, collector = ClientConnection(), Collector()
    connection.connection_made(Wire())
    connection.send(b"request", collector)
    for data in reads:
        connection.data_received(data)
    if eof:
        connection.connection_lost(None)
    return collector


# How its response is read

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-A: 1\r\nX-A: 2\r\n"
BODY = "data: ü世\n\n".encode() * 3
CHUNKED = b"%btransfer-encoding: chunked\r\n\r\n5;x=y\r\n%b\r\n%x\r\n%b\r\n0\r\nx-trailer: 1\r\n\r\n" % (
    HEAD,
    BODY[:5],
    len(BODY) - 5,
    BODY[5:],
)
SIZED = b"%bcontent-length: %d\r\n\r\n%b" % (HEAD, len(BODY), BODY)
UNTIL_CLOSE = HEAD + b"\r\n" + BODY
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"


@given(data=st.data(), response=st.sampled_from([CHUNKED, SIZED, UNTIL_CLOSE, CONTINUE + CHUNKED]))
def test_any_framing_under_any_chunking_gives_the_same_body(data: st.DataObject, response: bytes) -> None:
    """Chunked, sized or until the close, after interim responses, cut anywhere: the same head and body, one end."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(response)), max_size=20)))
    reads = [response[a:b] for a, b in itertools.pairwise([0, *cuts, len(response)])]
    collector = exchange(*reads, eof=True)
    assert collector.head is not None
    assert collector.head.status == 200
    assert (collector.head.headers["content-type"], collector.head.headers["x-a"]) == ("text/event-stream", "1, 2")
    assert collector.body == BODY
    assert collector.ends == [None]


PIECES = [
    b"3\r\nabc\r\n",
    b"c\r\ndata: word\n\n\r\n",
    b"2\r\n\r\n\r\n",
    b"6\r\n1\r\nx\r\n\r\n",
    b"C\r\ndata: word\n\n\r\n",
    b"03\r\nabc\r\n",
    b"3;a=b\r\nabc\r\n",
    b"3\r\nabc\r\n1",
    b"3\r\nab",
    b"c\r\n",
    b"\r\n",
    b"4\r\nabc\r\n",
    b"0\r\n\r\n",
    b"0\r\nx: 1\r\n",
]


@given(st.lists(st.sampled_from(PIECES), max_size=8))
def test_a_read_that_is_one_chunk_is_what_the_parser_would_find(pieces: list[bytes]) -> None:
    """Whole chunks that skip the parser, and the same bytes one by one, have one outcome."""
    head = HEAD + b"transfer-encoding: chunked\r\n\r\n"
    response = head + b"".join(pieces)
    whole = exchange(head, *pieces, eof=True)
    slow = exchange(*(response[i : i + 1] for i in range(len(response))), eof=True)
    assert (whole.body, [type(end) for end in whole.ends]) == (slow.body, [type(end) for end in slow.ends])


def test_a_read_that_is_one_chunk_does_not_pass_the_parser() -> None:
    """The usual read of a token costs no parsing; the next one is read by the parser as if it had."""
    collector = Collector()
    connection = begun(collector)
    connection.data_received(HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n")
    parser, connection._parser = connection._parser, None  # type: ignore[assignment]
    connection.data_received(b"3\r\nbcd\r\n")
    connection._parser = parser
    connection.data_received(b"1\r\ne\r\n0\r\n\r\n")
    assert (collector.body, collector.ends) == (b"abcde", [None])


def test_a_read_is_handed_on_once() -> None:
    """Many HTTP chunks in one read make one call, so that their tokens are appended together."""
    assert exchange(CHUNKED).reads == [BODY]


def test_an_empty_body_ends_at_once() -> None:
    """A response without a body does not wait for the connection to close."""
    collector = exchange(HEAD + b"content-length: 0\r\n\r\n")
    assert (collector.body, collector.ends) == (b"", [None])


def test_white_space_around_values_is_no_part_of_them() -> None:
    """A status or a media type is what it is, however it was padded (RFC 9112, 5.1)."""
    head = b"HTTP/1.1 429 No\r\nretry-after:\t 7 \t\r\ncontent-type: application/json \r\ncontent-length: 0 \r\n\r\n"
    collector = exchange(head)
    assert collector.head is not None
    assert collector.head.headers == {"retry-after": "7", "content-type": "application/json", "content-length": "0"}


@pytest.mark.parametrize("cut", [CHUNKED[:-3], SIZED[:-1]])
def test_a_response_without_its_end_is_broken_off(cut: bytes) -> None:
    """The end of the connection is the end of the body only where nothing else marks it."""
    assert [type(error) for error in exchange(cut, eof=True).ends] == [BrokenOff]


@pytest.mark.parametrize("cut", [b"", HEAD])
def test_half_a_head_is_no_answer(cut: bytes) -> None:
    """Whether anything has come of the request, nobody knows."""
    assert [type(error) for error in exchange(cut, eof=True).ends] == [ClosedUnanswered]


@pytest.mark.parametrize(
    "response",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        CHUNKED.replace(b"5;x=y", b"zz"),
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    ],
)
def test_what_is_not_http_is_malformed(response: bytes) -> None:
    """Another protocol on the port is told from a broken connection."""
    assert [type(error) for error in exchange(response, eof=True).ends] == [MalformedResponse]


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nx: ", b"HTTP/1.1 200 ", CHUNKED[:-2] + b"x-more: "])
def test_a_head_without_end_is_cut_off(start: bytes) -> None:
    """Neither headers nor trailers can fill the memory."""
    collector = exchange(start, *[b"y" * 1024] * (MAX_OVERHEAD_BYTES // 1024 + 1))
    assert [type(error) for error in collector.ends] == [TooLarge]


def test_what_comes_before_a_malformed_piece_is_kept() -> None:
    """Tokens that were read count, whatever follows them."""
    collector = exchange(CHUNKED[:-3].replace(b"\r\n0\r\n", b"\r\nzz\r\n"))
    assert collector.body == BODY
    assert [type(error) for error in collector.ends] == [MalformedResponse]


@pytest.mark.parametrize("more", [b"\r\n", b"more", SIZED])
def test_bytes_after_a_complete_response_are_harmless(more: bytes) -> None:
    """A sloppy server's extra line break spoils no answer, nor does an answer too many."""
    for collector in (exchange(SIZED + more), exchange(SIZED, more, eof=True)):
        assert (collector.body, collector.ends) == (BODY, [None])


# What may follow it


@given(
    data=st.data(), responses=st.lists(st.sampled_from([CHUNKED, SIZED, CONTINUE + CHUNKED]), min_size=2, max_size=3)
)
def test_responses_follow_each_other_over_one_connection(data: st.DataObject, responses: list[bytes]) -> None:
    """Each is read as if it were the first, however it is cut: no trailer of one is a header of the next."""
    connection = ClientConnection()
    connection.connection_made(Wire())
    for response in responses:
        collector = Collector()
        connection.send(b"request", collector)
        cuts = sorted(data.draw(st.sets(st.integers(1, len(response) - 1), max_size=5)))
        for a, b in itertools.pairwise([0, *cuts, len(response)]):
            connection.data_received(response[a:b])
        assert collector.head is not None
        assert "x-trailer" not in collector.head.headers
        assert (collector.body, collector.ends) == (BODY, [None])
        assert connection.complete
        assert connection.persistent


@pytest.mark.parametrize(
    "response",
    [
        UNTIL_CLOSE,
        SIZED.replace(b"HTTP/1.1", b"HTTP/1.0"),
        SIZED.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"X-A: 1", b"Connection: keep-alive"),
        CHUNKED.replace(b"X-A: 1", b"Connection: Close"),
        SIZED + b"more",
        SIZED + SIZED,
        CHUNKED.replace(b"\r\n0\r\n", b"\r\nzz\r\n"),
        CONTINUE,
    ],
    ids=["until the close", "1.0", "1.0 keep-alive", "close", "more", "one more", "malformed", "interim"],
)
def test_not_every_response_lets_another_follow(response: bytes) -> None:
    """Only HTTP/1.1's framing says where one ends, and only what keeps to it is trusted with another request."""
    connection = ClientConnection()
    connection.connection_made(Wire())
    connection.send(b"request", Collector())
    connection.data_received(response)
    assert not connection.persistent


def test_a_connection_that_is_not_read_is_not_persistent() -> None:
    """What was paused may have more to say than has been looked at."""
    connection = ClientConnection()
    connection.connection_made(Wire())
    connection.send(b"request", Collector())
    connection.data_received(SIZED)
    connection.pause()
    assert not connection.persistent
    connection.resume()
    assert connection.persistent


@pytest.mark.parametrize("late", [b"\r\n", b"x", SIZED, None])
def test_an_idle_connection_is_closed_by_whatever_comes(late: bytes | None) -> None:
    """A byte or an end that no request has asked for: the next request goes elsewhere."""
    connection, wire, over = ClientConnection(), Wire(), list[ClientConnection]()
    connection.connection_made(wire)
    connection.send(b"request", Collector())
    connection.data_received(SIZED)
    connection.over = over.append
    if late is None:
        connection.eof_received()
    else:
        connection.data_received(late)
    assert wire.aborted
    assert not connection.persistent
    connection.connection_lost(None)
    assert over == [connection]


def test_what_the_receiver_raises_ends_the_exchange() -> None:
    """A fault in the handling of a read reaches whoever waits for the answer, not the event loop's log."""

    class Refusing(Collector):
        def receive(self, data: bytes) -> None:
            raise ValueError("no")

    connection, collector = ClientConnection(), Refusing()
    connection.connection_made(Wire())
    connection.send(b"", collector)
    connection.data_received(SIZED)
    assert [str(error) for error in collector.ends] == ["no"]
    assert not connection.persistent


def test_after_abort_nothing_is_heard() -> None:
    """Giving up is final: bytes still on their way reach nobody."""
    connection, collector, wire = ClientConnection(), Collector(), Wire()
    connection.connection_made(wire)
    connection.send(b"request", collector)
    connection.abort()
    connection.data_received(SIZED)
    connection.connection_lost(None)
    assert wire.aborted
    assert (collector.head, collector.ends) == (None, [])


def test_a_request_on_a_closed_connection_is_unanswered() -> None:
    """A connection that the server closed before the request was written is not waited on."""
    connection, collector = ClientConnection(), Collector()
    connection.connection_made(Wire())
    connection.connection_lost(None)
    connection.send(b"request", collector)
    assert [type(error) for error in collector.ends] == [ClosedUnanswered]


# How much of it at a time

LONG = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (4 * TURN_BYTES)


class Stopping(Collector):
    """Stops reading with its first piece."""

    connection: ClientConnection

    def receive(self, data: bytes) -> None:
        super().receive(data)
        if len(self.reads) == 1:
            self.connection.pause()


def begun(collector: Collector) -> ClientConnection:
    connection = ClientConnection()
    connection.connection_made(Wire())
    connection.send(b"request", collector)
    return connection


@pytest.mark.anyio
async def test_a_long_read_is_taken_a_turn_at_a_time() -> None:
    """Everybody else has a turn between two pieces of what one read has brought; nothing is lost or out of order."""
    collector, turns = Collector(), 0
    begun(collector).data_received(LONG)
    while len(collector.body) < 4 * TURN_BYTES:
        await asyncio.sleep(0)
        turns += 1
        assert len(collector.body) <= turns * TURN_BYTES
    assert turns >= 4


@pytest.mark.anyio
async def test_one_long_chunk_is_taken_a_turn_at_a_time_too() -> None:
    """A read that is one chunk skips the parser only where it fits into a turn."""
    collector = Collector()
    connection = begun(collector)
    connection.data_received(HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n")
    connection.data_received(b"%x\r\n%b\r\n" % (2 * TURN_BYTES, bytes(2 * TURN_BYTES)))
    connection.data_received(b"3\r\nbcd\r\n")
    assert len(collector.body) < TURN_BYTES
    for _ in range(10):
        await asyncio.sleep(0)
    assert collector.body == b"a" + bytes(2 * TURN_BYTES) + b"bcd"


@pytest.mark.anyio
async def test_a_loss_comes_after_what_was_read() -> None:
    """TLS tells of the end while the connection is not read from: the answer is whole all the same."""
    collector = Collector()
    connection = begun(collector)
    connection.data_received(LONG)
    connection.connection_lost(None)
    await collector.over.wait()
    assert len(collector.body) == 4 * TURN_BYTES
    assert collector.ends == [None]


@pytest.mark.anyio
async def test_what_was_read_waits_for_a_receiver_that_has_stopped() -> None:
    """Until it goes on, whatever has become of the connection."""
    collector = Stopping()
    collector.connection = connection = begun(collector)
    connection.data_received(LONG)
    connection.connection_lost(None)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(collector.reads) == 1
    connection.resume()
    await collector.over.wait()
    assert len(collector.body) == 4 * TURN_BYTES


@pytest.mark.anyio
async def test_what_is_given_up_is_read_no_further() -> None:
    """Neither is anything delivered after that, nor kept."""
    collector, lost = Collector(), list[ClientConnection]()
    connection = begun(collector)
    connection.over = lost.append
    connection.data_received(LONG)
    connection.connection_lost(None)
    connection.abort()
    await asyncio.sleep(0)
    assert (collector.reads, collector.ends, lost) == ([], [], [connection])


@pytest.mark.anyio
async def test_more_than_was_asked_for_ends_the_connection() -> None:
    """It would be taken for the answer to the next request."""
    collector, wire = Collector(), Wire()
    connection = ClientConnection()
    connection.connection_made(wire)
    connection.send(b"request", collector)
    connection.data_received(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" + b"x" * (2 * TURN_BYTES))
    await collector.over.wait()
    assert not connection.persistent
    for _ in range(3):
        await asyncio.sleep(0)
    assert wire.aborted
