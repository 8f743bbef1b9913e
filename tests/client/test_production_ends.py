"""How a producer leaves its stream, and what becomes of an append whose answer did not come, on both faces."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator

import pytest
from faces_kit import Make, face
from held_server_kit import Held
from scripted_kit import Scripted, head

from tidegate.client import AsyncClient, Conflict, Offline, StreamEnded, TidegateError, production
from tidegate.errors import InvalidValue


@pytest.fixture(params=["blocking", "awaiting"])
def client(request: pytest.FixtureRequest) -> Iterator[Make]:
    with face(request.param) as make:
        yield make


def answered(status: int, value: object) -> bytes:
    body = json.dumps(value).encode()
    return head(status, kind="application/json", content_length=str(len(body))) + body


def kept(value: object) -> bytes:
    """An answer after which the connection stays."""
    return answered(200, value).replace(b"connection: close\r\n", b"")


def opened(seconds: float = 60) -> dict[str, object]:
    """With a lease that no test has to renew, as a rule."""
    return {"id": "gen_1", "offset": 1, "text": "", "lease": {"token": "t", "seconds": seconds}}


OPENED = answered(201, opened())
ENDED = answered(409, {"error": {"type": "t", "code": "stream_ended", "message": "over"}})
INVALID = answered(400, {"error": {"type": "t", "code": "invalid_value", "message": "no such type"}})


def at(offset: int) -> bytes:
    return answered(200, {"offset": offset})


def lengths(server: Scripted) -> list[int]:
    """Of the bodies that were appended."""
    return [
        int(line.partition(":")[2])
        for request in server.requests[1:]
        for line in request.lower().splitlines()
        if line.startswith("content-length:")
    ]


def test_a_connection_that_is_dead_does_not_cost_the_stream(client: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is waited for while there is time for another try, on another connection, before the lease runs out."""
    monkeypatch.setattr(production, "MIN_TRY_SECONDS", 0.1)
    # A slow machine may need more than one connection.
    with Held(kept(opened(1.5)), *[at(2)] * 8) as server:
        producer = client(server.url).produce()
        producer.delta("a")
        assert producer.offset == 2
        assert server.connections > 1
        producer.close()


def test_an_append_in_doubt_is_sent_again_before_the_next(client: Make) -> None:
    """The server may have it: it is written once, at its place, although its caller was told of a failure."""
    with Scripted(OPENED, b"", at(2), at(3)) as server:
        producer = client(server.url).produce("k", attempts=0)
        with pytest.raises(Offline):
            producer.delta("a" * 20)
        producer.delta("b")
        assert producer.offset == 3
        producer.close()
    first, again, second = lengths(server)
    assert first == again > second


def test_an_append_that_was_refused_is_forgotten(client: Make) -> None:
    """What the server has read and not taken does not stand in the way of the next."""
    with Scripted(OPENED, INVALID, at(2)) as server:
        producer = client(server.url).produce()
        with pytest.raises(TidegateError, match="no such type"):
            producer.append("song", {"long": "a" * 20})
        producer.delta("b")
        producer.close()
    first, second = lengths(server)
    assert first > second


def test_a_cancelled_append_does_not_jam_the_producer() -> None:
    """Whoever gave up waiting may go on; the server gets both events, in order."""

    async def main(url: str) -> None:
        async with AsyncClient(url) as client:
            producer = client.produce()
            await producer.__aenter__()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(producer.delta("one"), 0.2)
            await producer.delta("two")
            assert producer.offset == 3
            await producer.close()

    with Held(kept(opened()), [kept({"offset": 2}), kept({"offset": 3})]) as server:
        asyncio.run(main(server.url))
    bodies = [json.loads(request.partition("\r\n\r\n")[2]) for request in server.requests[1:]]
    assert [(body["expected_offset"], body["events"][0]["data"]["text"]) for body in bodies] == [(1, "one"), (2, "two")]


def test_a_producer_may_be_closed_before_its_with_ends(client: Make) -> None:
    """Its stream is left as it is."""
    with Scripted(OPENED) as server, client(server.url).produce() as producer:
        producer.close()
    assert not producer.ended


def test_an_end_that_is_appended_is_the_end(client: Make) -> None:
    """It is this producer's own, and no cancellation; nothing is sent after it."""
    with Scripted(OPENED, at(2)) as server, client(server.url).produce() as producer:
        producer.append("completed", {"finish_reason": "length"})
        assert (producer.ended, producer.cancelled) == (True, False)
        with pytest.raises(StreamEnded):
            producer.delta("more")


def test_an_exception_is_not_replaced_by_another(client: Make) -> None:
    """Neither where the stream has ended meanwhile, nor where the server is away."""
    with Scripted(OPENED, ENDED) as server, pytest.raises(KeyError), client(server.url).produce():
        raise KeyError
    with Scripted(OPENED) as server:
        producer = client(server.url, max_delay=0.01).produce()
    with pytest.raises(KeyError), producer:
        raise KeyError


def test_whoever_has_failed_to_reach_the_server_does_not_try_it_again_at_the_end(client: Make) -> None:
    """The lease says that the program is gone."""
    with Scripted(OPENED, b"") as server, pytest.raises(Offline), client(server.url).produce(attempts=0) as producer:
        producer.delta("a")
    assert len(server.requests) == 2


def test_an_exception_of_something_else_fails_the_stream(client: Make) -> None:
    """Another stream's conflict, another server's absence: this one's readers are told."""
    for error in (Conflict("another's"), Offline("another's")):
        with Scripted(OPENED, at(2)) as server, pytest.raises(type(error)), client(server.url).produce() as producer:
            raise error
        assert producer.ended
        assert len(server.requests) == 2


def test_an_append_whose_producer_is_closed_says_so(client: Make) -> None:
    """From another thread; the error is one that programs know."""
    with Held(kept(opened())) as server:
        producer = client(server.url).produce()
        threading.Timer(0.1, producer.close).start()
        with pytest.raises(StreamEnded, match="closed"):
            producer.delta("a")


def test_a_producer_is_entered_first() -> None:
    """With asyncio it has no stream before."""

    async def main() -> None:
        async with AsyncClient("http://127.0.0.1:9") as client:
            with pytest.raises(InvalidValue, match="no stream yet"):
                await client.produce().delta("a")

    asyncio.run(main())


def test_closing_a_producer_does_not_hide_a_cancellation() -> None:
    """The task that closes it ends as any that is cancelled."""

    async def main(url: str) -> None:
        async with AsyncClient(url) as client:
            producer = client.produce()
            await producer.__aenter__()
            task = asyncio.create_task(producer.close())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await producer.close()

    with Scripted(OPENED) as server:
        asyncio.run(main(server.url))


def test_an_append_that_waits_behind_a_cancelled_one_is_not_lost() -> None:
    """Whichever of them were cancelled, and whatever their program does with its data afterwards."""

    async def main(url: str) -> None:
        async with AsyncClient(url) as client:
            producer = client.produce()
            await producer.__aenter__()
            data = {"text": "one"}
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.gather(producer.append("delta", data), producer.delta("two")), 0.2)
            data["text"] = "another"
            await producer.delta("three")
            await producer.close()

    with Held(kept(opened()), [kept({"offset": number}) for number in (2, 3, 4)]) as server:
        asyncio.run(main(server.url))
    bodies = [json.loads(request.partition("\r\n\r\n")[2]) for request in server.requests[1:]]
    assert [body["events"][0]["data"]["text"] for body in bodies] == ["one", "two", "three"]


def test_each_append_is_told_its_own_error() -> None:
    """Of two at once, the one that the server does not take."""

    async def main(url: str) -> list[object]:
        async with AsyncClient(url) as client:
            producer = client.produce()
            await producer.__aenter__()
            told = await asyncio.gather(
                producer.delta("one"), producer.append("song", {}), producer.delta("two"), return_exceptions=True
            )
            await producer.close()
            return [None if each is None else str(each) for each in told]

    with Scripted(OPENED, at(2), INVALID, at(3)) as server:
        assert asyncio.run(main(server.url)) == [None, "no such type (400)", None]
