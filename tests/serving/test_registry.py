from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from tidegate.core.cursor import Cursor
from tidegate.serving.registry import Connection, Registry
from tidegate.serving.traffic import Traffic

MOST_BYTES = 512


class Reader:
    def __init__(self, stream: str = "gen_1") -> None:
        self.stream = stream
        self.at: Cursor | None = None
        self.told = False
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def send_away(reader: Reader, reason: str) -> None:
    assert reason == "draining"
    reader.told = True


def registry(random_bits: Callable[[int], int] | None = None) -> Registry:
    numbers = count(1)
    return Registry(
        send_away=send_away, now=lambda: 1700000000.12345, random_bits=random_bits or (lambda _: next(numbers))
    )


def call(connections: Registry, *readers: Reader, **given: Any) -> Connection:
    connection = connections.open(**{"transport": "sse", "address": "192.0.2.1", "principal": "key:anna", **given})
    for reader in readers:
        connection.attach(reader.stream, reader)
    return connection


def test_a_connection_is_found_until_its_end() -> None:
    """It has an id of 64 random bits, by which it is found as long as it is there, and by no other spelling."""
    connections = registry(lambda bits: 0xABC if bits == 64 else -1)
    with call(connections) as connection:
        assert connection.id == "conn_0000000000000abc"
        assert connection.opened_at == 1700000000.123
        assert connections.find(connection.id) is connection
        for other in ("conn_abc", "conn_0x00000000000abc", "0000000000000abc", "conn_0000000000000ABC", "conn_", ""):
            assert connections.find(other) is None
    assert connections.find("conn_0000000000000abc") is None


def test_the_newest_comes_first() -> None:
    """Connections are listed newest first, and one that leaves meanwhile disturbs nobody."""
    connections = registry()
    first, second, third = (call(connections) for _ in range(3))
    listed = iter(connections)
    second.leave()
    assert list(listed) == [third, second, first]
    assert list(connections) == [third, first]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit])
def test_however_a_call_ends_it_leaves_nothing(error: type[BaseException]) -> None:
    """Its readers are closed and it is out of the registry, whatever was raised; leaving again changes nothing."""
    connections, readers = registry(), (Reader("gen_1"), Reader("topic:a"))
    with pytest.raises(error), call(connections, *readers) as connection:
        raise error
    connection.leave()
    assert (len(connections), connection.state, connection.readers) == (0, "closed", ())
    assert [reader.closed for reader in readers] == [1, 1]


def test_what_is_detached_is_its_owners_to_close() -> None:
    """A stream that a connection carries no more is neither shown nor closed with it; the others are."""
    connections, one, other = registry(), Reader("gen_1"), Reader("gen_2")
    with call(connections, one, other) as connection:
        connection.detach("gen_1")
        connection.detach("gen_1")
        assert connection.readers == (other,)
    assert (one.closed, other.closed) == (0, 1)


def test_a_call_is_drained_through_its_readers() -> None:
    """Its readers are told to come back, once, and it is draining until its end."""
    connections, reader = registry(), Reader()
    with call(connections, reader) as connection:
        connection.serve()
        connection.drain("draining")
        assert (reader.told, connection.state) == (True, "draining")
        reader.told = False
        connection.drain("draining")
        assert not reader.told


def test_a_websocket_is_drained_by_its_own_close() -> None:
    """What the transport gave is called, once, with the reason; its readers are its own business."""
    connections, reader, closed = registry(), Reader(), list[str]()
    with call(connections, reader, transport="websocket", principal=None, close=closed.append) as connection:
        connection.move("authenticating")
        connection.drain("draining")
        connection.drain("draining")
        connection.serve()
        assert (connection.state, closed, reader.told) == ("draining", ["draining"], False)


def test_whoever_told_the_reader_the_call_is_draining() -> None:
    """A reader that was told by the end of its credentials, say, makes its call draining; a WebSocket goes on."""
    connections, reader = registry(), Reader()
    one, socket = call(connections, reader), call(connections, reader, transport="websocket", close=print)
    one.serve()
    socket.serve()
    assert (one.state, socket.state) == ("active", "active")
    reader.told = True
    assert (one.state, socket.state) == ("draining", "active")


def test_a_silent_client_is_idle_only_while_it_is_served() -> None:
    """Liveness comes and goes; it never brings back who was told to go, nor lets in who has not said who it is."""
    connections = registry()
    with call(connections, transport="websocket", close=print) as connection:
        connection.move("authenticating")
        connection.seems("idle")
        assert connection.state == "authenticating"
        connection.serve()
        for liveness in ("idle", "idle", "probing", "idle", "probing", "active", "probing"):
            connection.seems(liveness)
            assert connection.state == liveness
        connection.drain("draining")
        connection.seems("active")
        assert connection.state == "draining"


def test_a_move_that_is_not_in_the_table_is_a_mistake() -> None:
    """It raises, and nothing has changed."""
    connection = call(registry())
    with pytest.raises(RuntimeError, match="connecting cannot become probing"):
        connection.move("probing")
    assert connection.state == "connecting"


def test_counts() -> None:
    """Connections are counted by transport and state."""
    connections, told = registry(), Reader()
    told.told = True
    call(connections).serve()
    call(connections, told).serve()
    call(connections, transport="json")
    assert connections.counts() == {("sse", "active"): 1, ("sse", "draining"): 1, ("json", "connecting"): 1}


def test_what_nobody_counts_is_not_made_up() -> None:
    """Bytes are those of the wire; without one there are none."""

    class Wire:
        def traffic(self) -> Traffic:
            return Traffic(3, 2, 0.5)

    connections = registry()
    assert call(connections, wire=Wire()).traffic() == Traffic(3, 2, 0.5)
    assert call(connections).traffic() is None


def test_a_connection_costs_less_than_its_reader() -> None:
    """A thousand registered readers cost under half a kilobyte each, and nothing once they have left."""
    connections, reader = registry(), Reader()

    def come_and_go() -> tuple[int, int]:
        held = [call(connections, reader) for _ in range(1000)]
        full = tracemalloc.get_traced_memory()[0]
        while held:
            held.pop().leave()
        return full, tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        full, once = come_and_go()
        _, twice = come_and_go()
    finally:
        tracemalloc.stop()
    assert (full - before) / 1000 < MOST_BYTES
    assert twice - once < 1000 * 16
