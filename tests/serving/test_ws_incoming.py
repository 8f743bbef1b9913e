"""Frames as they come."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.serving.ws_incoming import Incoming

MASK = b"mask"


def frame(payload: bytes, first: int = 0x82) -> bytes:
    size = len(payload)
    head = bytes([0x80 | size]) if size < 126 else bytes([0xFE]) + size.to_bytes(2, "big")
    return bytes([first]) + head + MASK + payload


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.integers(1, 400))
def test_a_piece_never_has_two_frames(payloads: list[bytes], size: int) -> None:
    """However they arrive; and nothing is lost."""
    frames = [frame(payload) for payload in payloads]
    sent, incoming, taken = b"".join(frames), Incoming(1000), b""
    ends = {sum(map(len, frames[:n])) for n in range(len(frames) + 1)}
    for start in range(0, len(sent), size):
        incoming.add(sent[start : start + size])
        while incoming:
            piece = incoming.take_frame(0)
            assert piece
            assert not any(len(taken) < end < len(taken) + len(piece) for end in ends)
            taken += piece
    assert taken == sent


@pytest.mark.parametrize(
    ("so_far", "payload", "fits"), [(0, 100, True), (0, 101, False), (60, 40, True), (60, 41, False)]
)
def test_a_message_that_is_too_large_is_known_by_its_head(so_far: int, payload: int, fits: bool) -> None:
    """What has come of it counts; nothing of the rest has to come."""
    incoming = Incoming(100)
    incoming.add(frame(bytes(payload))[:6])
    assert (incoming.take_frame(so_far) is not None) is fits


def test_control_frames_are_of_no_message() -> None:
    """They come in the midst of one that has its size."""
    incoming = Incoming(100)
    incoming.add(frame(bytes(90), first=0x89))
    assert incoming.take_frame(100) is not None


def test_empty_pieces_are_left_out() -> None:
    """And nothing else."""
    incoming = Incoming(100)
    incoming.add(frame(b"", first=0x00) + frame(b"", first=0x80))
    assert incoming.skip_empty()
    assert not incoming.skip_empty()
    assert incoming.take_frame(0) == frame(b"", first=0x80)
