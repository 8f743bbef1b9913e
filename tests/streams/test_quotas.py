from __future__ import annotations

import pytest
from clock_kit import Clock

from tidegate.core.bucket import Buckets
from tidegate.core.events import GenerationRequest, Message
from tidegate.errors import TokensExhausted, TooManyGenerations, TooManyReaders
from tidegate.stores.cluster import Cluster
from tidegate.stores.memory import MemoryStore
from tidegate.streams.quotas import Quotas


def node() -> Cluster:
    return MemoryStore(max_generation_bytes=1000).join("node", 5)


def request(text: str = "", max_tokens: int | None = None) -> GenerationRequest:
    return GenerationRequest(model="m", messages=(Message(role="user", content=text),), max_tokens=max_tokens)


def test_generations() -> None:
    """So many generations of one account are let in at once; each end makes room for one, and others do not count."""
    quotas = Quotas(node(), generations=2, clock=Clock())
    first, _ = quotas.admit("a", request()), quotas.admit("a", request())
    with pytest.raises(TooManyGenerations) as refused:
        quotas.admit("a", request())
    assert refused.value.retry_after
    quotas.admit("b", request())
    first.settle(10)
    first.settle(10)
    quotas.admit("a", request())
    with pytest.raises(TooManyGenerations):
        quotas.place("a")


def test_resumed() -> None:
    """What a process that is gone had let in is let in whatever the limit, and counts."""
    quotas = Quotas(node(), generations=1, clock=Clock())
    quotas.resume("a")
    second = quotas.place("a", resumed=True)
    second.give_back()
    with pytest.raises(TooManyGenerations):
        quotas.admit("a", request())


def test_tokens_are_reserved_and_settled() -> None:
    """What a generation may use is taken at once; in the end it is what it did use."""
    clock = Clock()
    quotas = Quotas(node(), tokens=Buckets(1, 100), clock=clock)
    allowance = quotas.admit("a", request("x" * 40, max_tokens=60))
    with pytest.raises(TokensExhausted) as refused:
        quotas.admit("a", request("x" * 4, max_tokens=30))
    assert refused.value.retry_after == pytest.approx(1)
    allowance.settle(20)
    quotas.admit("a", request("x" * 4, max_tokens=79))
    with pytest.raises(TokensExhausted):
        quotas.admit("a", request(max_tokens=1))


def test_tokens_are_owed() -> None:
    """A generation that used more than it said keeps the next one waiting."""
    clock = Clock()
    quotas = Quotas(node(), tokens=Buckets(1, 100), clock=clock)
    quotas.admit("a", request(max_tokens=1)).settle(150)
    clock.now = 50
    with pytest.raises(TokensExhausted, match=r" 0 are left of this minute's 100$"):
        quotas.admit("a", request(max_tokens=1))
    clock.now = 52
    quotas.admit("a", request(max_tokens=1))


def test_no_max_tokens() -> None:
    """Who does not say how long an answer may be cannot start more of them than who says it."""
    quotas = Quotas(node(), tokens=Buckets(50, 3000), clock=Clock())
    quotas.admit("a", request("x" * 4))
    quotas.admit("a", request("x" * 4))
    with pytest.raises(TokensExhausted, match="1025 tokens, and 950 are left of this minute's 3000; with a max_tokens"):
        quotas.admit("a", request("x" * 4))
    quotas.admit("a", request("x" * 4, max_tokens=949))


def test_nobody_is_locked_out() -> None:
    """However much was used, who waits for two minutes can go on, and is told what has become of the tokens."""
    clock = Clock()
    quotas = Quotas(node(), tokens=Buckets(1, 60), clock=clock)
    quotas.admit("a", request()).settle(10**6)
    with pytest.raises(TokensExhausted, match="this minute's 60 are used up, and 60 of the next") as refused:
        quotas.admit("a", request())
    assert refused.value.retry_after == pytest.approx(120)
    clock.now = 120
    quotas.admit("a", request())


def test_more_than_a_full_bucket() -> None:
    """A generation larger than the limit of a minute is let in when nothing else was."""
    quotas = Quotas(node(), tokens=Buckets(1, 100), clock=Clock())
    quotas.admit("a", request(max_tokens=5000))
    with pytest.raises(TokensExhausted):
        quotas.admit("a", request())


def test_refused_tokens_take_no_place() -> None:
    """Who is refused for its tokens has no place among the live generations."""
    quotas = Quotas(node(), generations=1, tokens=Buckets(1, 10), clock=Clock())
    quotas.admit("a", request(max_tokens=9)).settle(10)
    with pytest.raises(TokensExhausted):
        quotas.admit("a", request())
    quotas.place("a")


def test_readers() -> None:
    """So many readers are attached at once; a seat that nobody keeps is free again."""
    quotas = Quotas(node(), readers=1, clock=Clock())
    with quotas.seat("a"), pytest.raises(TooManyReaders):
        quotas.seat("a")
    with quotas.seat("a") as seat:
        seat.keep()
    with pytest.raises(TooManyReaders):
        quotas.seat("a")
    seat.give_back()
    quotas.seat("a")


def test_too_many_readers_come_back_apart() -> None:
    """A reader that finds no seat is told to wait for 5 to 15 seconds, each for another time."""
    for drawn, seconds in ((0.0, 5.0), (0.5, 10.0), (0.999, 14.99)):
        quotas = Quotas(node(), readers=1, clock=Clock(), random=lambda drawn=drawn: drawn)
        quotas.seat("a")
        with pytest.raises(TooManyReaders) as refused:
            quotas.seat("a")
        assert refused.value.retry_after == pytest.approx(seconds)


def test_no_limits() -> None:
    """0 is no limit."""
    quotas = Quotas(node(), clock=Clock())
    for _ in range(1000):
        quotas.admit("a", request(max_tokens=10**6))
        quotas.seat("a")


def test_what_another_node_has_let_in_counts() -> None:
    """An account has one limit, wherever its readers and generations are; a node that leaves takes its part along."""
    store = MemoryStore(max_generation_bytes=1000)
    here, there = store.join("here", 5), store.join("there", 5)
    near, far = (Quotas(cluster, generations=2, readers=1, clock=Clock()) for cluster in (here, there))
    near.admit("a", request())
    far.admit("a", request())
    near.seat("a").keep()
    with pytest.raises(TooManyGenerations):
        near.place("a")
    with pytest.raises(TooManyReaders):
        far.seat("a")
