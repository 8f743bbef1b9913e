from __future__ import annotations

import pytest

from tidegate.streams.live import LiveStreams


class Cluster:
    """The streams of which a node has told that they are over there."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def let_go(self, stream: str) -> None:
        self.told.append(stream)


class Live:
    """A live stream, as far as it is kept."""

    def __init__(self, stream: str = "gen_1") -> None:
        self.stream = stream
        self.is_let_go = False

    def let_go(self) -> None:
        self.is_let_go = True


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def streams(cluster: Cluster) -> LiveStreams:
    return LiveStreams(cluster)  # type: ignore[arg-type]


def add(streams: LiveStreams, live: Live) -> None:
    streams.add(live)  # type: ignore[arg-type]


def test_a_stream_is_held_for_as_long_as_it_is_filled(streams: LiveStreams, cluster: Cluster) -> None:
    """The other nodes are told once that it is over here; that it is held they know since before it was created."""
    live = Live()
    add(streams, live)
    assert (streams.get("gen_1"), "gen_1" in streams, len(streams)) == (live, True, 1)
    for _ in range(2):
        streams.remove(live)  # type: ignore[arg-type]
    assert (streams.get("gen_1"), "gen_1" in streams, len(streams)) == (None, False, 0)
    assert cluster.told == ["gen_1"]


def test_what_is_over_late_does_not_end_what_has_followed(streams: LiveStreams, cluster: Cluster) -> None:
    """A stream that came back to this node is filled anew: what filled it before has nothing to say any more."""
    before, now = Live(), Live()
    add(streams, before)
    add(streams, now)
    streams.remove(before)  # type: ignore[arg-type]
    assert streams.get("gen_1") is now
    assert cluster.told == []


def test_a_stream_that_another_node_holds_is_let_go(streams: LiveStreams, cluster: Cluster) -> None:
    """The cluster is told nothing of it: it would take the stream from that node."""
    live = Live()
    add(streams, live)
    assert streams.pass_on("gen_1") is live
    assert streams.pass_on("gen_1") is None
    streams.remove(live)  # type: ignore[arg-type]
    assert live.is_let_go
    assert cluster.told == []


def test_streams_may_end_while_they_are_gone_through(streams: LiveStreams) -> None:
    """Whoever ends all of them sees each."""
    for name in ("gen_1", "gen_2"):
        add(streams, Live(name))
    for live in streams:
        streams.remove(live)
    assert len(streams) == 0
