"""The SQLite file is copied while the server writes, and the copy takes its place: docs/deployment.md tells how."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from api_kit import call, fetch
from eventually_kit import eventually
from restart_kit import Restartable

pytestmark = pytest.mark.anyio

CONFIG = """
[limits]
requests_per_minute = 0
[store]
url = "sqlite:///logs.db"
lease_seconds = 1
[[models]]
name = "short"
provider = "replay"
tokens = 5
rate = 0
[[models]]
name = "long"
provider = "replay"
tokens = 2000
rate = 100
"""

Snapshot = dict[str, Any]


async def started(server: Restartable, model: str) -> Snapshot:
    body = {"model": model, "prompt": "x", "background": model == "long"}
    return (await fetch(f"{server.url}/v1/streams", "POST", body))[2]


async def look(server: Restartable, stream: str) -> Snapshot:
    return (await fetch(f"{server.url}/v1/streams/{stream}"))[2]


def offset(snapshot: Snapshot) -> int:
    return int(snapshot["cursor"].partition("-")[2])


async def grown(server: Restartable, stream: str, past: int) -> Snapshot:
    async def is_past() -> bool:
        return offset(await look(server, stream)) > past

    await eventually(is_past, within=60)
    return await look(server, stream)


async def follow(server: Restartable, stream: str, after: str) -> list[tuple[str, str]]:
    """The types of the events after a cursor, with their data, until the end."""
    async with call(f"{server.url}/v1/streams/{stream}/events?after={after}") as answer:
        assert answer.status == 200
        return [(event.event, event.data) async for event in answer.events()]


def back_up(path: Path) -> Path:
    """The command of the documentation, by the library of the program that it names."""
    copy = path.with_name("backup.db")
    with closing(sqlite3.connect(path)) as other:
        other.execute("VACUUM INTO ?", (str(copy),))
    return copy


def restore(path: Path, copy: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    copy.rename(path)


async def share_status(server: Restartable, stream: str, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    return (await fetch(f"{server.url}/v1/streams/{stream}", headers=headers))[0]


async def publish(server: Restartable, text: str) -> str:
    """The message's cursor."""
    return (await fetch(f"{server.url}/v1/topics/room/messages", "POST", {"data": text}))[2]["cursor"]


class Seen(NamedTuple):
    """Streams as they were last: ended before the copy, live at that moment, begun after it; and what else was seen."""

    before: Snapshot
    at_copy: Snapshot
    live: Snapshot
    after: Snapshot
    token: str
    published: str


@pytest.fixture
async def restored(tmp_path: Path) -> AsyncIterator[tuple[Restartable, Seen]]:
    """A server that was put back to a copy, and what clients had seen when it was killed."""
    path = tmp_path / "logs.db"
    with Restartable(tmp_path, CONFIG) as server:
        before, live = await started(server, "short"), await started(server, "long")
        sharing = f"{server.url}/v1/streams/{before['id']}/share"
        token = (await fetch(sharing, "POST", {}))[2]["token"]
        await publish(server, "before")
        at_copy = await grown(server, live["id"], 20)
        copy = back_up(path)
        await fetch(sharing, "DELETE")
        assert await share_status(server, before["id"], token) == 401
        published = await publish(server, "after")
        live = await grown(server, live["id"], offset(at_copy) + 40)
        after = await started(server, "short")
        assert "cannot be written" not in server.process.stderr()
        server.kill()
        restore(path, copy)
        server.start()
        yield server, Seen(before, at_copy, live, after, token, published)


async def test_a_server_is_put_back_to_a_copy_that_was_made_while_it_wrote(restored: tuple[Restartable, Seen]) -> None:
    """What had ended is whole, what was live then ends interrupted with its text, what came later is not there; and who
    had seen more is told so."""
    server, was = restored
    assert (await look(server, was.before["id"]))["text"] == was.before["text"]
    assert (await fetch(f"{server.url}/v1/streams/{was.after['id']}"))[0] == 404

    live = await look(server, was.live["id"])
    assert (live["status"], live["error"]["code"]) == ("failed", "interrupted")
    assert live["text"].startswith(was.at_copy["text"])
    assert was.live["text"].startswith(live["text"])

    resumed = await follow(server, live["id"], was.at_copy["cursor"])
    assert {kind for kind, _ in resumed[:-1]} <= {"delta"}
    assert resumed[-1][0] == "failed"
    seen_more = await follow(server, live["id"], was.live["cursor"])
    assert [kind for kind, _ in seen_more if kind != "delta"] == ["gap", "started", "failed"]


async def test_a_copy_knows_nothing_of_what_came_later(restored: tuple[Restartable, Seen]) -> None:
    """A share that was revoked is good again, and who had seen a later message of a topic is told of the gap."""
    server, was = restored
    assert await share_status(server, was.before["id"], was.token) == 200
    async with call(f"{server.url}/v1/topics/room/events?after={was.published}") as answer:
        events = answer.events()
        kinds = [(await anext(events)).event for _ in range(3)]
    assert kinds == ["subscribed", "gap", "message"]
