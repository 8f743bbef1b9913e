from __future__ import annotations

import pytest
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from tidegate.serving.ws_cores import MOST_SPARE, Cores, is_at_rest


def sent(opcode: Opcode, data: bytes = b"", *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


def received(core: ServerProtocol, data: bytes) -> list[object]:
    core.receive_data(data)
    events = core.events_received()
    core.data_to_send()
    return list(events)


def test_a_core_that_comes_back_is_lent_again() -> None:
    """Two sockets that are never within a message at the same time need one core, and each keeps its own limit."""
    cores = Cores()
    first = cores.lend(1000)
    assert len(received(first, sent(Opcode.TEXT, b"x" * 1000))) == 1
    cores.give_back(first)
    second = cores.lend(10)
    assert second is first
    received(second, sent(Opcode.TEXT, b"x" * 1000))
    assert second.close_sent is not None
    assert second.close_sent.code == 1009


def test_two_sockets_within_a_message_have_cores_of_their_own() -> None:
    """What one has begun, the other does not go on with."""
    cores = Cores()
    assert cores.lend(1000) is not cores.lend(1000)


def test_only_so_many_are_kept() -> None:
    """A storm of handshakes leaves no cores behind."""
    cores = Cores()
    lent = [cores.lend(1000) for _ in range(MOST_SPARE + 5)]
    for core in lent:
        cores.give_back(core)
    again = [cores.lend(1000) for _ in lent]
    assert sum(core in lent for core in again) == MOST_SPARE


@pytest.mark.parametrize(
    ("frames", "rests"),
    [
        ([], True),
        ([sent(Opcode.TEXT, b"whole")], True),
        ([sent(Opcode.PING, b"?")], True),
        ([sent(Opcode.TEXT, b"first", fin=False)], False),
        ([sent(Opcode.TEXT, b"first", fin=False), sent(Opcode.CONT, b"last")], True),
        ([sent(Opcode.TEXT, b"first", fin=False), sent(Opcode.PING)], False),
        ([sent(Opcode.CLOSE)], False),
        ([sent(Opcode.CONT, b"of nothing")], False),
    ],
)
def test_it_rests_between_messages_of_an_open_socket(frames: list[bytes], rests: bool) -> None:
    """A core that has a part of a message, or has seen a close or an error, stays with its socket."""
    core = Cores().lend(1000)
    for each in frames:
        received(core, each)
    assert is_at_rest(core) is rests


def test_it_does_not_rest_with_something_to_send() -> None:
    """A pong that has not gone out would go to another client."""
    core = Cores().lend(1000)
    core.receive_data(sent(Opcode.PING, b"?"))
    core.events_received()
    assert not is_at_rest(core)
    core.data_to_send()
    assert is_at_rest(core)
