from __future__ import annotations

from collections.abc import Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from tidegate.core.ws_frame import BINARY, TEXT, FrameHead, frame, read_head

SIZES = st.sampled_from([0, 1, 125, 126, 127, 65535, 65536, 70000]) | st.integers(0, 300)


def parsed(data: bytes) -> list[Frame]:
    """What `websockets`' own parser finds, as a client."""
    reader = StreamReader()
    reader.feed_data(data)
    frames: list[Frame] = []

    def parse() -> Generator[None]:
        while reader.buffer:
            frames.append((yield from Frame.parse(reader.read_exact, mask=False)))

    for _ in parse():
        raise AssertionError("the frame has no end")
    return frames


@given(st.sampled_from([TEXT, BINARY]), st.lists(SIZES, max_size=4))
def test_frames_are_read_as_they_were_meant(opcode: int, sizes: list[int]) -> None:
    """Each is one final message without reserved bits; one after the other they keep apart."""
    payloads = [b"x" * size for size in sizes]
    found = parsed(b"".join(frame(opcode, payload) for payload in payloads))
    assert found == [Frame(Opcode(opcode), payload) for payload in payloads]


@given(st.sampled_from(list(Opcode)), st.binary(max_size=125))
def test_frames_are_those_of_websockets(opcode: Opcode, payload: bytes) -> None:
    """Byte for byte, control frames included."""
    assert frame(opcode, payload) == Frame(opcode, payload).serialize(mask=False)


def test_a_control_frame_is_short() -> None:
    """RFC 6455, 5.5: no client would take a longer one."""
    with pytest.raises(ValueError, match="at most 125 bytes, not 126"):
        frame(Opcode.PING, bytes(126))


@pytest.mark.parametrize(
    ("length", "payload"),
    [("00", 0), ("7d", 125), ("7e007e", 126), ("7effff", 65535), ("7f" + "0" * 10 + "010000", 65536)],
)
@pytest.mark.parametrize("mask", ["", "11223344"])
def test_a_head_says_how_long_its_frame_is(length: str, payload: int, mask: str) -> None:
    """Before anything of the payload has come; until the head is here whole nothing is known."""
    data = bytearray.fromhex("81" + length + mask)
    data[1] |= 0x80 if mask else 0
    head = FrameHead(len(data) + payload, payload, control=False)
    assert read_head(bytes(data)) == read_head(bytes(data) + b"more") == head
    assert [read_head(bytes(data[:n])) for n in range(len(data))] == [None] * len(data)


@pytest.mark.parametrize(("opcode", "control"), [(0, False), (1, False), (2, False), (8, True), (9, True), (10, True)])
def test_control_frames_belong_to_no_message(opcode: int, control: bool) -> None:
    """They come between the fragments of one."""
    head = read_head(bytes([0x80 | opcode, 0]))
    assert head is not None
    assert head.control is control
