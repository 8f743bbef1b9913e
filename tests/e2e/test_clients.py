"""Both faces of the Python client against real servers that are cut off, killed, and left."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cable import laid
from eventually_kit import eventually
from faces_kit import Make, face
from restart_kit import Restartable

from tidegate.client import AsyncClient, AsyncStream, Client, Fenced, NotFound, Offline, StreamEnded, TidegateError
from tidegate.testing.process import running

CONFIG = """
[store]
url = "sqlite:///logs.db"
topic_history = 3
lease_seconds = 1
[delivery]
heartbeat_seconds = 1
[limits]
requests_per_minute = 0
[[models]]
name = "slow"
provider = "replay"
tokens = 60
rate = 100
[[models]]
name = "endless"
provider = "replay"
tokens = 100000
rate = 20
"""
BODY = {"model": "slow", "prompt": "p"}


@pytest.fixture(params=["blocking", "awaiting"])
def client(request: pytest.FixtureRequest) -> Iterator[Make]:
    with face(request.param) as make:
        yield make


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    (folder / "tidegate.toml").write_text(CONFIG)
    with running("--config", "tidegate.toml", cwd=folder) as server:
        yield server.url


def until(truth: Callable[[], object]) -> None:
    """Waits for a fact, for who has no loop."""
    asyncio.run(eventually(truth, within=30))


def offsets(events: list[Any]) -> list[int]:
    return [int(event.cursor.partition("-")[2]) for event in events]


def test_a_cut_cable_is_not_noticed(client: Make, url: str) -> None:
    """Cut in mid-answer, and mended: each event once, in order, and the text of the server."""
    with laid(url) as cable:
        stream = client(cable.url, attempts=None, max_delay=0.05).start(BODY)
        events = [next(stream) for _ in range(5)]
        for _ in range(2):
            cable.cut()
            cable.mend()
            events.append(next(stream))
        events += list(stream)
        assert offsets(events) == sorted(set(offsets(events)))
        assert events[-1].type == "completed"
        assert stream.text() == client(url).read(stream.id)["text"]


def test_offline_until_it_is_asked_again(client: Make, url: str) -> None:
    """After the last attempt nothing is asked; the error's cursor, or another iteration, goes on."""
    with laid(url) as cable:
        stream = client(cable.url, attempts=1, max_delay=0.01).start(BODY)
        first = next(stream)
        cable.cut()
        with pytest.raises(Offline) as caught:
            list(stream)
        asked = cable.connections
        assert caught.value.cursor == stream.cursor
        rest = client(url).follow(stream.id, caught.value.cursor)
        assert [first.cursor, *[event.cursor for event in rest]][-1] != first.cursor
        assert cable.connections == asked
        cable.mend()
        assert list(stream)[-1].type == "completed"
        assert stream.text() == client(url).read(stream.id)["text"]


def test_a_server_that_is_killed_loses_nothing_that_was_seen(tmp_path: Path) -> None:
    """kill -9, and another process on the same file: readers go on at their places, to the true end; each append is
    taken once, however often it had to be tried."""
    config = CONFIG.replace("lease_seconds = 1", "lease_seconds = 20")
    with Restartable(tmp_path, config) as server, face("blocking") as blocking, face("awaiting") as awaiting:
        clients = [make(server.url, attempts=None, max_delay=0.2) for make in (blocking, awaiting)]
        streams = [client.start({**BODY, "model": "endless"}) for client in clients]
        producers = [client.produce() for client in clients]
        seen = [[next(stream) for _ in range(4)] for stream in streams]
        for producer in producers:
            producer.delta("before ")
        server.restart()
        for client, producer, stream, events in zip(clients, producers, streams, seen, strict=True):
            producer.delta("after")
            producer.complete()
            assert client.read(producer.id)["text"] == "before after"
            events += list(stream)
            assert offsets(events) == list(range(1, len(events) + 1))
            assert (events[-1].type, events[-1].data["error"]["code"]) == ("failed", "interrupted")


def test_a_stream_is_cancelled_listed_and_forgotten(client: Make, url: str) -> None:
    """Its reader is shown by whom."""
    made = client(url)
    stream = made.start({**BODY, "model": "endless"})
    next(stream)
    assert made.list(limit=1, status="running")["data"][0]["id"] == stream.id
    assert stream.cancel("enough")["status"] == "cancelled"
    assert list(stream)[-1].data["reason"] == "enough"
    assert made.list(status="cancelled")["data"][0]["id"] == stream.id
    made.delete(stream.id)
    with pytest.raises(NotFound):
        made.read(stream.id)
    assert made.models() == ["slow", "endless"]


def test_the_same_key_is_the_same_stream(client: Make, url: str) -> None:
    """Whoever started it, and from whichever place it is read."""
    made = client(url)
    key = f"once-{time.monotonic_ns()}"
    first, second = made.start(BODY, key=key), made.start(BODY, key=key)
    assert first.id == second.id
    assert first.text() == second.text()
    assert list(made.follow(first.id, first.cursor)) == []


def test_a_share_token_is_a_key(client: Make, url: str) -> None:
    """For this one stream, until it is taken back."""
    made = client(url)
    with made.produce() as producer:
        producer.delta("shared")
    token = made.share(producer.id, ttl=60)["token"]
    assert client(url, token).follow(producer.id).text() == "shared"
    made.unshare(producer.id)
    with pytest.raises(TidegateError) as caught:
        client(url, token).read(producer.id)
    assert caught.value.status == 401


def test_a_topic_has_state_presence_and_no_end(client: Make, url: str) -> None:
    """Who subscribes is told the state, then what is published; leaving is seen by the others."""
    made, topic = client(url), f"room-{time.monotonic_ns()}"
    made.publish(topic, {"n": 1}, state=True)
    stream = made.subscribe(topic)
    assert (stream.id, made.presence(topic)) == (topic, [{"principal": "anonymous", "connections": 1}])
    assert next(stream).data["state"] == {"n": 1}
    cursor = made.publish(topic, "hi", "note", key="k")
    assert made.publish(topic, "hi", "note", key="k") == cursor
    # Who has come, this one too, is told a tenth of a second later, before or after what is published.
    event = next(event for event in stream if event.type != "presence")
    assert (event.type, event.data["data"], event.cursor) == ("note", "hi", cursor)
    stream.close()
    assert list(stream) == []
    until(lambda: made.presence(topic) == [])


def test_a_gap_in_a_topic_is_said(client: Make, url: str) -> None:
    """Who comes back after more than is kept sees what follows."""
    made, topic = client(url), f"busy-{time.monotonic_ns()}"
    cursor = made.publish(topic, 0)
    for number in range(1, 10):
        made.publish(topic, number)
    stream = made.subscribe(topic, cursor)
    events = [next(stream) for _ in range(5)]
    assert [event.type for event in events] == ["subscribed", "gap", "message", "message", "message"]
    assert [event.data["data"] for event in events[2:]] == [7, 8, 9]


def test_who_thinks_for_long_keeps_its_stream(client: Make, url: str) -> None:
    """The lease is a second: a stream that was left meanwhile has failed, and this one is still its own."""
    made = client(url)
    with made.produce(metadata={"job": "17"}) as producer:
        producer.delta("a")
        left = made.produce()
        left.close()
        until(lambda: made.read(left.id)["status"] == "failed")
        producer.append("reasoning", {"text": "hm"})
        producer.delta("b")
    snapshot = made.read(producer.id)
    assert (snapshot["status"], snapshot["text"], snapshot["metadata"]) == ("completed", "ab", {"job": "17"})
    assert producer.offset == 5
    with pytest.raises(StreamEnded):
        producer.delta("c")


def test_a_producer_learns_that_it_is_not_wanted_any_more(client: Make, url: str) -> None:
    """While it thinks, and at its next append."""
    made = client(url)
    with made.produce() as producer:
        made.cancel(producer.id)
        until(lambda: producer.cancelled)
        assert producer.ended
        with pytest.raises(StreamEnded):
            producer.delta("in vain")
    assert made.read(producer.id)["status"] == "cancelled"


def test_a_key_that_fails_once_does_not_cost_the_stream(client: Make, url: str) -> None:
    """The function for it is a program's own, and may raise anything, while the lease is renewed, too."""
    troubles: list[Exception] = []

    def key() -> str:
        if troubles:
            raise troubles.pop()
        return ""

    producer = client(url, key).produce()
    troubles.append(RuntimeError("the token service is away"))
    until(lambda: not troubles)
    client(url).cancel(producer.id)
    until(lambda: producer.cancelled)
    producer.close()


def test_a_key_leads_back_to_the_work(client: Make, url: str) -> None:
    """A program that comes again has the text so far; the one that had it before is fenced."""
    made, key = client(url), f"report-{time.monotonic_ns()}"
    first = made.produce(key)
    first.delta("one ")
    with made.produce(key) as second:
        assert (second.id, second.text) == (first.id, "one ")
        with pytest.raises(Fenced):
            first.delta("not said")
        assert not first.cancelled
        second.delta("two")
    first.close()
    assert made.read(first.id)["text"] == "one two"
    third = made.produce(key)
    assert (third.ended, third.text) == (True, "one two")
    third.close()


def test_an_exception_fails_the_stream_and_ctrl_c_leaves_it(client: Make, url: str) -> None:
    """Readers are told the exception's name alone; what ends the program leaves the stream to its next run."""
    made, key = client(url), f"work-{time.monotonic_ns()}"
    with pytest.raises(ZeroDivisionError), made.produce() as failing:
        raise ZeroDivisionError("secret")
    assert made.read(failing.id)["error"]["message"] == "ZeroDivisionError"
    left = made.produce(key)
    left.delta("so far")
    with pytest.raises(KeyboardInterrupt), left:
        raise KeyboardInterrupt
    with made.produce(key) as again:
        assert again.text == "so far"
        again.fail("no more", "given_up")
    assert made.read(again.id)["error"]["code"] == "given_up"


def test_a_cancelled_task_leaves_nothing(url: str) -> None:
    """Neither a connection nor a task, wherever it was waiting; the stream can be iterated again."""

    async def readers(client: AsyncClient) -> int:
        return sum(each["connections"] for each in await client.presence("quiet"))

    async def nobody(client: AsyncClient) -> bool:
        return await readers(client) == 0

    async def some(stream: AsyncStream) -> None:
        async with asyncio.timeout(0.1):
            async for _ in stream:
                pass

    async def follow(client: AsyncClient) -> None:
        async with client.subscribe("quiet") as stream:
            async for _ in stream:
                pass

    async def main() -> None:
        async with asyncio.timeout(60), AsyncClient(url) as client:
            task = asyncio.create_task(follow(client))
            await eventually(lambda: readers(client), within=30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await eventually(lambda: nobody(client), within=30)
            stream = await client.start(BODY)
            with pytest.raises(TimeoutError):
                await some(stream)
            assert [event.type async for event in stream][-1] == "completed"
            assert await stream.text() == (await client.read(stream.id))["text"]
            assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main(), debug=True)


def test_one_client_serves_many_threads(url: str) -> None:
    """They share its kept connections, and get their own answers."""
    client = Client(url)
    texts: dict[int, str] = {}

    def work(number: int) -> None:
        with client.produce() as producer:
            for _ in range(5):
                producer.delta(f"{number} ")
        texts[number] = client.follow(producer.id).text()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert texts == {number: f"{number} " * 5 for number in range(8)}
    client.close()
