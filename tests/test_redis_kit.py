from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from redis_kit import DURABLE, RedisServer, eventually


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[RedisServer, RedisServer]]:
    """A master that keeps all that it acknowledges, and its replica."""
    with ExitStack() as stack:
        both = [RedisServer(tmp_path / name, DURABLE) for name in ("one", "other")]
        for server in both:
            server.start()
            stack.callback(server.kill)
        both[1].replica_of(both[0])
        yield both[0], both[1]


def put(server: RedisServer, value: str) -> None:
    with server.client() as client:
        client.set("key", value)


def got(server: RedisServer) -> object:
    with server.client() as client:
        return client.get("key")


def test_a_killed_server_comes_back_with_what_it_had(servers: tuple[RedisServer, RedisServer]) -> None:
    """So it does after SIGTERM; and a paused one says nothing until it goes on."""
    server, _ = servers
    put(server, "kept")
    server.restart()
    assert got(server) == "kept"
    server.terminate()
    server.start()
    assert got(server) == "kept"
    server.pause()
    with redis.Redis(port=server.port, socket_timeout=0.05, retry=None) as client, pytest.raises(redis.TimeoutError):
        client.ping()
    server.resume()
    assert got(server) == "kept"


def test_a_promoted_replica_has_what_it_was_sent(servers: tuple[RedisServer, RedisServer]) -> None:
    """What the master acknowledges from then on it does not have, until it is a replica once more."""
    master, replica = servers
    put(master, "before")
    eventually(lambda: got(replica) == "before", replica.log)
    replica.promote()
    put(master, "after")
    assert got(replica) == "before"
    replica.replica_of(master)
    assert got(replica) == "after"


@pytest.mark.parametrize("_", range(2))
def test_each_test_begins_with_an_empty_store(redis_url: str, _: int) -> None:
    """The server is the session's; whatever the test before has left is gone."""
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "over")
