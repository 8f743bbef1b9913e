"""The echo as a process, spoken to in raw frames: the sections of the Autobahn suite, which needs Python 2.7."""

from __future__ import annotations

import json
import socket
import struct
import sys
from collections.abc import Generator, Iterable

import pytest
from ws_kit import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Frame,
    RawSocket,
    ask,
    chopped,
    close,
    closed,
    frame,
    raw_socket,
    request,
)

from tidegate.testing.process import running

MIB = 1 << 20
ECHO = (sys.executable, "-m", "tidegate.testing.echo", "--port", "0")


@pytest.fixture(scope="module")
def port() -> Generator[int]:
    with running(command=ECHO) as server:
        yield int(server.url.rpartition(":")[2])
        assert "Traceback" not in server.stderr()


@pytest.fixture
def client(port: int) -> Generator[RawSocket]:
    with raw_socket(port) as found:
        yield found


NORMAL = closed(1000)
PROTOCOL_ERROR = [closed(1002)]
BAD_TEXT = [closed(1007)]


def check(client: RawSocket, sent: Iterable[bytes], expected: list[Frame]) -> None:
    """The server says what is expected, and closes: with 1000, since it is asked to, where nothing was wrong."""
    if not expected or expected[-1].opcode != CLOSE:
        expected = [*expected, NORMAL]
        assert client.talk(sent, len(expected) - 1) == expected
    else:
        assert client.talk(sent, len(expected)) == expected


# 1: framing


@pytest.mark.parametrize("size", [0, 125, 126, 127, 128, 65535, 65536])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_messages_of_each_length_come_back(client: RawSocket, opcode: int, size: int) -> None:
    """All three ways to write a length are read and written."""
    payload = b"\xfe" * size if opcode == BINARY else b"*" * size
    check(client, [frame(opcode, payload)], [Frame(opcode, payload)])


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize(("size", "piece"), [(0, 1), (125, 1), (126, 1), (300, 1), (65536, 997)])
def test_messages_come_back_however_they_are_cut(client: RawSocket, opcode: int, size: int, piece: int) -> None:
    """A frame may arrive octet by octet."""
    check(client, chopped(frame(opcode, b"*" * size), piece), [Frame(opcode, b"*" * size)])


def test_lengths_need_not_be_written_the_shortest_way(client: RawSocket) -> None:
    """Nobody is refused for five bytes of length: this server is liberal where the RFC's minimum is not a safety."""
    sent = struct.pack("!BBQ", 0x80 | BINARY, 0x80 | 127, 2) + bytes(4) + b"ab"
    check(client, [sent], [Frame(BINARY, b"ab")])


def test_a_length_beyond_all_bounds_is_too_big(client: RawSocket) -> None:
    """Refused by its announcement: nothing of it is waited for."""
    check(client, [struct.pack("!BBQ", 0x80 | BINARY, 0x80 | 127, 1 << 62)], [closed(1009)])


def test_unmasked_frames_are_refused(client: RawSocket) -> None:
    """A client must mask (RFC 6455, 5.1)."""
    check(client, [frame(TEXT, b"hi", mask=None)], PROTOCOL_ERROR)


# 2: pings and pongs

PINGS = {
    "empty": ([frame(PING)], [Frame(PONG)]),
    "with a payload": ([frame(PING, b"Hello, world!")], [Frame(PONG, b"Hello, world!")]),
    "binary": ([frame(PING, b"\x00\xff\xfe\xfd\x00\xff")], [Frame(PONG, b"\x00\xff\xfe\xfd\x00\xff")]),
    "the longest": ([frame(PING, b"\xfe" * 125)], [Frame(PONG, b"\xfe" * 125)]),
    "too long": ([frame(PING, b"\xfe" * 126)], PROTOCOL_ERROR),
    "the longest, octet by octet": (chopped(frame(PING, b"\xfe" * 125), 1), [Frame(PONG, b"\xfe" * 125)]),
    "an unsolicited pong": ([frame(PONG)], []),
    "an unsolicited pong with a payload": ([frame(PONG, b"unsolicited")], []),
    "a pong, then a ping": ([frame(PONG, b"unsolicited"), frame(PING, b"a")], [Frame(PONG, b"a")]),
    "ten in a row": ([frame(PING, b"%d" % n) for n in range(10)], [Frame(PONG, b"%d" % n) for n in range(10)]),
    "ten, octet by octet": (
        chopped(b"".join(frame(PING, b"%d" % n) for n in range(10)), 1),
        [Frame(PONG, b"%d" % n) for n in range(10)],
    ),
}


@pytest.mark.parametrize("case", PINGS)
def test_pings_are_answered(client: RawSocket, case: str) -> None:
    """With their own payload, in their order; pongs are not."""
    check(client, *PINGS[case])


# 3: reserved bits


@pytest.mark.parametrize("rsv", range(1, 8))
@pytest.mark.parametrize("opcode", [TEXT, BINARY, PING, PONG, CLOSE])
def test_reserved_bits_are_refused(client: RawSocket, opcode: int, rsv: int) -> None:
    """Nothing was negotiated that would give them a meaning."""
    check(client, [frame(opcode, b"", rsv=rsv)], PROTOCOL_ERROR)


def test_what_came_before_a_bad_frame_is_answered(client: RawSocket) -> None:
    """A message that was right gets its echo if there is time for it."""
    client.send(frame(TEXT, b"before"))
    assert client.read() == Frame(TEXT, b"before")
    check(client, chopped(frame(TEXT, b"bad", rsv=4), 1), PROTOCOL_ERROR)


# 4: reserved opcodes


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
@pytest.mark.parametrize("payload", [b"", b"reserved opcode"])
def test_reserved_opcodes_are_refused(client: RawSocket, opcode: int, payload: bytes) -> None:
    """They have no meaning yet."""
    check(client, [frame(opcode, payload), frame(PING)], PROTOCOL_ERROR)


# 5: fragmentation

ONE = frame(TEXT, b"fragment1", fin=False)
TWO = frame(CONT, b"fragment2")
BOTH = Frame(TEXT, b"fragment1fragment2")
FRAGMENTS = {
    "a fragmented ping": ([frame(PING, b"a", fin=False), frame(CONT, b"b")], PROTOCOL_ERROR),
    "a fragmented pong": ([frame(PONG, b"a", fin=False), frame(CONT, b"b")], PROTOCOL_ERROR),
    "two of text": ([ONE, TWO], [BOTH]),
    "two in one segment": ([ONE + TWO], [BOTH]),
    "two, octet by octet": (chopped(ONE + TWO, 1), [BOTH]),
    "two of bytes": ([frame(BINARY, b"\xfe", fin=False), frame(CONT, b"\xff")], [Frame(BINARY, b"\xfe\xff")]),
    "with a ping between": ([ONE, frame(PING, b"ping"), TWO], [Frame(PONG, b"ping"), BOTH]),
    "with a ping between, in one segment": ([ONE + frame(PING, b"ping") + TWO], [Frame(PONG, b"ping"), BOTH]),
    "with a pong between": ([ONE, frame(PONG, b"pong"), TWO], [BOTH]),
    "empty ones": ([frame(TEXT, fin=False), frame(CONT, fin=False), frame(CONT)], [Frame(TEXT)]),
    "the middle is empty": ([ONE, frame(CONT, fin=False), TWO], [BOTH]),
    "goes on without a beginning": ([TWO], PROTOCOL_ERROR),
    "goes on without a beginning, not final": ([frame(CONT, b"a", fin=False), frame(TEXT, b"b")], PROTOCOL_ERROR),
    "goes on after its end": ([ONE, TWO, frame(CONT, b"more")], [BOTH, *PROTOCOL_ERROR]),
    "another begins before its end": ([ONE, frame(TEXT, b"another")], PROTOCOL_ERROR),
    "five, with pings": (
        [
            frame(TEXT, b"1", fin=False),
            frame(CONT, b"2", fin=False),
            frame(PING, b"a"),
            frame(CONT, b"3", fin=False),
            frame(CONT, b"4", fin=False),
            frame(PING, b"b"),
            frame(CONT, b"5"),
        ],
        [Frame(PONG, b"a"), Frame(PONG, b"b"), Frame(TEXT, b"12345")],
    ),
}


@pytest.mark.parametrize("case", FRAGMENTS)
def test_fragments_make_messages(client: RawSocket, case: str) -> None:
    """They come back whole, control frames between them notwithstanding; what is out of order is refused."""
    sent, expected = FRAGMENTS[case]
    if case == "goes on after its end":
        # The echo and the refusal are sent by different hands.
        client.send(*sent[:2])
        assert client.read() == expected[0]
        sent, expected = sent[2:], expected[1:]
    check(client, sent, expected)


# 6: UTF-8

KOSME = "κόσμε".encode()
VALID = {
    "nothing": b"",
    "greek": KOSME,
    "the last of one byte": b"\x7f",
    "the last of two": "\u07ff".encode(),
    "the last of three": "\uffff".encode(),
    "the last of four": "\U0010ffff".encode(),
    "a noncharacter": "\ufdd0\U0001fffe".encode(),
    "NUL": b"\x00",
    "beside the surrogates": "\ud7ff\ue000\ufffd".encode(),
}
INVALID = {
    "a lone continuation": b"\x80",
    "all continuations": bytes(range(0x80, 0xC0)),
    "a lone start": b"\xc0 ",
    "cut off, two": b"\xce",
    "cut off, three": b"\xe1\xbd",
    "cut off, four": b"\xf0\x9f\x92",
    "impossible bytes": b"\xfe\xff",
    "overlong slash": b"\xc0\xaf",
    "overlong NUL": b"\xe0\x80\x80",
    "overlong, four": b"\xf0\x8f\xbf\xbf",
    "a surrogate": b"\xed\xa0\x80",
    "a pair of surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "amid good text": KOSME + b"\xed\xa0\x80edited",
}


@pytest.mark.parametrize("case", VALID)
def test_text_may_be_cut_anywhere(client: RawSocket, case: str) -> None:
    """In one frame, in fragments of one octet, in segments of one octet: it is the same text."""
    text = VALID[case]
    pieces = chopped(text, 1)
    fragments = [frame(TEXT, fin=False), *(frame(CONT, piece, fin=False) for piece in pieces), frame(CONT)]
    sent = [frame(TEXT, text), *fragments, *chopped(frame(TEXT, text), 1)]
    check(client, sent, [Frame(TEXT, text)] * 3)


@pytest.mark.parametrize("case", INVALID)
def test_what_is_no_utf_8_is_refused(client: RawSocket, case: str) -> None:
    """With 1007."""
    check(client, [frame(TEXT, INVALID[case])], BAD_TEXT)


@pytest.mark.parametrize("case", INVALID)
def test_what_is_no_utf_8_is_refused_in_fragments(client: RawSocket, case: str) -> None:
    """Wherever it is cut."""
    fragments = [frame(CONT, piece, fin=False) for piece in chopped(INVALID[case], 1)]
    check(client, [frame(TEXT, fin=False), *fragments, frame(CONT)], BAD_TEXT)


def test_bad_text_is_not_waited_out(client: RawSocket) -> None:
    """The fragment that makes a message impossible is the last that is listened to."""
    check(client, [frame(TEXT, KOSME, fin=False), frame(CONT, b"\xf4\x90", fin=False)], BAD_TEXT)


def test_bytes_may_be_anything(client: RawSocket) -> None:
    """Only text is text."""
    check(client, [frame(BINARY, b"\xff\xfe\xed\xa0\x80")], [Frame(BINARY, b"\xff\xfe\xed\xa0\x80")])


# 7: closing

CLOSES = {
    "without a code": (close(), Frame(CLOSE)),
    "with a code": (close(1000), NORMAL),
    "with a reason": (close(1000, b"Hello World!"), NORMAL),
    "with the longest reason": (close(1000, b"*" * 123), NORMAL),
    "with too long a reason": (close(1000, b"*" * 124), closed(1002)),
    "with half a code": (frame(CLOSE, b"\x03"), closed(1002)),
    "with a reason of bad UTF-8": (close(1000, b"\xce\xba\xed\xa0\x80"), closed(1007)),
    "fragmented": (frame(CLOSE, b"\x03\xe8", fin=False), closed(1002)),
}


@pytest.mark.parametrize("case", CLOSES)
def test_a_close_is_answered(client: RawSocket, case: str) -> None:
    """With the same code, or with that of what is wrong with it; then the connection ends."""
    sent, expected = CLOSES[case]
    client.send(sent)
    assert client.read() == expected
    assert client.is_over()


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999])
def test_codes_that_may_be_sent_are_echoed(client: RawSocket, code: int) -> None:
    """Those of the RFC, of libraries, and of applications."""
    client.send(close(code))
    assert client.read() == closed(code)
    assert client.is_over()


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_codes_that_must_not_be_sent_are_refused(client: RawSocket, code: int) -> None:
    """1005, 1006 and 1015 are for reports only; the rest is nobody's (RFC 6455, 7.4.2)."""
    client.send(close(code))
    assert client.read() == closed(1002)
    assert client.is_over()


@pytest.mark.parametrize("after", [frame(PING), frame(TEXT, b"late"), close(1001), frame(3), b"\xff" * 100_000])
def test_what_follows_a_close_is_not_heard(client: RawSocket, after: bytes) -> None:
    """Whatever it is, the answer is that to the close."""
    client.send(close(1000) + after)
    assert client.read() == NORMAL
    assert client.is_over()


def test_messages_before_a_close_come_back(client: RawSocket) -> None:
    """Those that were answered when the close came."""
    check(client, [frame(TEXT, b"a"), frame(BINARY, b"b")], [Frame(TEXT, b"a"), Frame(BINARY, b"b")])


def test_a_client_that_only_leaves_disturbs_nobody(port: int, client: RawSocket) -> None:
    """Without a close frame, by FIN or by reset, in the middle of a frame: others go on."""
    for option in (struct.pack("ii", 0, 0), struct.pack("ii", 1, 0)):
        sock, _, _ = ask(port, request())
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        sock.sendall(frame(TEXT, b"half")[:-2])
        sock.close()
    check(client, [frame(TEXT, b"on")], [Frame(TEXT, b"on")])


# 9: large messages


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("size", [64 << 10, 1 * MIB, 16 * MIB])
def test_large_messages_come_back(client: RawSocket, opcode: int, size: int) -> None:
    """Up to 16 MiB, the echo's limit."""
    check(client, [frame(opcode, b"*" * size)], [Frame(opcode, b"*" * size)])


@pytest.mark.parametrize("piece", [256, 64 << 10, 4 * MIB])
def test_large_messages_come_back_from_fragments(client: RawSocket, piece: int) -> None:
    """Whatever their size."""
    fragments = chopped(b"*" * 4 * MIB, piece)
    sent = [
        frame(CONT if number else BINARY, each, fin=number == len(fragments) - 1)
        for number, each in enumerate(fragments)
    ]
    check(client, [b"".join(sent)], [Frame(BINARY, b"*" * 4 * MIB)])


def test_messages_past_the_limit_are_refused(client: RawSocket) -> None:
    """In one frame or in many, with 1009, and the client gets to read it though it is still sending."""
    fragments = [frame(BINARY, b"*" * MIB, fin=False), *[frame(CONT, b"*" * MIB, fin=False)] * 20]
    check(client, fragments, [closed(1009)])


@pytest.mark.parametrize(("size", "count"), [(0, 1000), (125, 1000), (16384, 200)])
def test_messages_in_a_row_keep_their_order(client: RawSocket, size: int, count: int) -> None:
    """A client that does not wait for its echoes gets them all."""
    payloads = [b"%d:" % number + b"*" * size for number in range(count)]
    check(client, [b"".join(frame(BINARY, each) for each in payloads)], [Frame(BINARY, each) for each in payloads])


# 10: what else a handshake may be


def test_a_browsers_extensions_are_declined(port: int) -> None:
    """permessage-deflate is off: frames come uncompressed, and the answer names no extension."""
    sock, head, _ = ask(port, request(sec_websocket_extensions="permessage-deflate; client_max_window_bits"))
    assert head.startswith("HTTP/1.1 101 ")
    assert "extensions" not in head.lower()
    sock.close()


REFUSED = {
    "an old version": (request(sec_websocket_version="8"), 426, "upgrade_required"),
    "no version": (request(sec_websocket_version=None), 426, "upgrade_required"),
    "no key": (request(sec_websocket_key=None), 400, "invalid_request"),
    "a short key": (request(sec_websocket_key="YWJj"), 400, "invalid_request"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_handshakes_get_typed_errors(port: int, case: str) -> None:
    """Over HTTP, as JSON, with a request id; of a version that is not spoken, with the one that is."""
    sent, status, code = REFUSED[case]
    sock, head, rest = ask(port, sent)
    assert head.startswith(f"HTTP/1.1 {status} ")
    while data := sock.recv(65536):
        rest += data
    assert json.loads(rest)["error"]["code"] == code
    assert ("sec-websocket-version: 13" in head) is (status == 426)
    assert "x-request-id: " in head
    sock.close()


@pytest.mark.parametrize(
    "sent", [request("POST", content_length="2") + b"hi", request(content_length="2") + b"hi", request(upgrade="h2c")]
)
def test_other_requests_are_no_handshakes(port: int, sent: bytes) -> None:
    """They go on as plain HTTP, which the echo has nothing for."""
    sock, head, _ = ask(port, sent)
    assert head.startswith("HTTP/1.1 404 ")
    sock.close()


def test_a_long_head_is_a_handshake_like_any(port: int) -> None:
    """One cookie of 30 KB, or 500 headers: the limit is that of every head."""
    many: dict[str, str | None] = {f"x_{number}": "a" for number in range(500)}
    for sent in (request(cookie="a" * 30_000), request(**many)):
        sock, head, _ = ask(port, sent)
        assert head.startswith("HTTP/1.1 101 ")
        sock.close()


def test_a_head_past_the_limit_is_refused(port: int) -> None:
    """With 431."""
    sock, head, _ = ask(port, request(cookie="a" * 70_000))
    assert head.startswith("HTTP/1.1 431 ")
    sock.close()


def test_frames_that_come_with_the_handshake_are_heard(port: int) -> None:
    """Who does not wait for the answer loses nothing."""
    sock, head, rest = ask(port, request() + frame(TEXT, b"early") + frame(PING, b"too"))
    assert head.startswith("HTTP/1.1 101 ")
    client = RawSocket(sock, rest)
    assert {client.read(), client.read()} == {Frame(TEXT, b"early"), Frame(PONG, b"too")}
    client.close()
