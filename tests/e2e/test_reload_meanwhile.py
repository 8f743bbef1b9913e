"""What becomes of calls that are on their way when their key is withdrawn or narrowed."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from api_kit import call, fetch
from eventually_kit import eventually
from reload_kit import ALL, BODY, Server, bearer, key, served, settings
from socket_kit import socket

from tidegate.core.cursor import Cursor
from tidegate.serving.long_body import LONG_BYTES, alone_if_long
from tidegate.serving.registry import Connection
from tidegate.stores.memory import MemoryStore

pytestmark = pytest.mark.anyio

LONG = 2 * LONG_BYTES
CHAT = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


class HeldStore(MemoryStore):
    """A store that opens no topic before it may: `asked` says that somebody waits for it."""

    def __init__(self) -> None:
        super().__init__(max_generation_bytes=1 << 20)
        self.asked = asyncio.Event()
        self.may_open = asyncio.Event()

    async def open_topic(self, topic: str) -> Cursor:
        self.asked.set()
        await self.may_open.wait()
        return await super().open_topic(topic)


async def _types(url: str) -> list[str]:
    async with call(url, headers=bearer("one")) as answer:
        return [event.event async for event in answer.events()]


def _received(connection: Connection) -> int:
    traffic = connection.traffic()
    return 0 if traffic is None else traffic.received


class LateBody:
    """A request of the key `one`, let in by its head; its body is still to come."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> None:
        self.reader = reader
        self.writer = writer
        self.body = body

    @classmethod
    async def begin(cls, server: Server, path: str, content: object) -> LateBody:
        reader, writer = await asyncio.open_connection(*server.url.removeprefix("http://").split(":"))
        body = msgspec.json.encode(content)
        head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\n"
        before = len(server.app.connections)
        writer.write(f"{head}authorization: Bearer one\r\ncontent-length: {len(body)}\r\n\r\n".encode())
        await eventually(lambda: len(server.app.connections) > before)
        return cls(reader, writer, body)

    async def end(self) -> tuple[int, dict[str, Any]]:
        """The status and body of the answer."""
        self.writer.write(self.body)
        async with asyncio.timeout(20):
            head, _, content = (await self.reader.read()).partition(b"\r\n\r\n")
        self.writer.close()
        return int(head.split()[1]), msgspec.json.decode(content)


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v1/streams", {**BODY, "stream": False, "background": True}),
        ("/v1/streams", {"producer": "client"}),
        ("/v1/chat/completions", CHAT),
        ("/v1/topics/room/messages", {"data": "x"}),
        ("/v1/streams/STREAM/cancel", {}),
        ("/v1/streams/STREAM/share", {}),
        ("/v1/streams/STREAM/append", {"expected_offset": 1, "lease": "0" * 64, "events": []}),
    ],
)
async def test_a_body_that_comes_after_its_key_has_gone_does_nothing(path: str, content: object) -> None:
    """Its head was let in: what the body asks for is done for those whose keys are good when it is there."""
    async with served(key("ci", "one"), key("ops", "two")) as server:
        begun = {**BODY, "stream": False, "background": True}
        stream = (await fetch(server.url + "/v1/streams", "POST", begun, bearer("one")))[2]["id"]
        late = await LateBody.begin(server, path.replace("STREAM", stream), content)
        await server.app.reload(settings(key("ops", "two")))
        status, said = await late.end()
        assert (status, said["error"]["code"]) == (401, "invalid_credentials")
        assert len(server.app.service.node.live) == 1


async def test_a_body_that_comes_after_its_key_was_narrowed_is_refused_by_the_scope() -> None:
    """As if all of the call came then; what the key still may do is done."""
    async with served(key("ci", "one")) as server:
        chat = await LateBody.begin(server, "/v1/chat/completions", CHAT)
        message = await LateBody.begin(server, "/v1/topics/room/messages", {"data": "x"})
        await server.app.reload(settings(key("ci", "one", ("publish",))))
        status, said = await chat.end()
        assert (status, said["error"]["code"]) == (403, "missing_scope")
        assert (await message.end())[0] == 200
        assert not server.app.service.node.live


async def test_a_reader_that_attaches_while_its_key_is_removed_is_sent_away() -> None:
    """It was looked at before, and what it reads comes from a store that takes its time."""
    store = HeldStore()
    async with served(key("ci", "one"), key("ops", "two"), store=store) as server:
        reading = asyncio.create_task(_types(server.url + "/v1/topics/room/events"))
        await store.asked.wait()
        await server.app.reload(settings(key("ops", "two")))
        store.may_open.set()
        async with asyncio.timeout(20):
            assert (await reading)[-1] == "reconnect"


async def test_a_socket_does_not_follow_what_its_key_lost_while_it_asked() -> None:
    """The call is answered, and at once the client is told that this is over: no message is for it."""
    store = HeldStore()
    async with (
        served(key("ci", "one"), store=store) as server,
        socket(server.url, headers=bearer("one")) as client,
    ):
        asking = client.begin("subscribe", topic="room")
        await store.asked.wait()
        await server.app.reload(settings(key("ci", "one", ("publish",))))
        store.may_open.set()
        await asking
        found = await client.event(20)
        assert (found["type"], found["topic"], found["data"]["reason"]) == ("reconnect", "room", "token_expired")
        await client.call("publish", topic="room", data="secret")
        await client.call("ping")
        assert client.events.empty()
        assert not [reader for connection in server.app.registry for reader in connection.readers]


async def test_a_socket_goes_on_to_follow_what_its_key_still_covers() -> None:
    """A key that has lost something else changes nothing for a call that is under way."""
    store = HeldStore()
    async with (
        served(key("ci", "one"), store=store) as server,
        socket(server.url, headers=bearer("one")) as client,
    ):
        asking = client.begin("subscribe", topic="room")
        await store.asked.wait()
        await server.app.reload(settings(key("ci", "one", ("subscribe", "publish"))))
        store.may_open.set()
        await asking
        await client.call("publish", topic="room", data="hello")
        assert (await client.until("message"))[-1]["data"]["data"] == "hello"


async def test_calls_that_wait_behind_another_are_not_answered_once_their_key_has_gone() -> None:
    """The socket has heard them already, and would begin an answer for somebody that it is sending away."""
    async with (
        served(key("ci", "one"), key("ops", "two")) as server,
        socket(server.url, headers=bearer("one")) as client,
    ):
        async with alone_if_long(LONG, "somebody else", most=LONG, keep=None):
            client.begin("create", model="m", prompt="x" * LONG, attach=False, on_disconnect="keep")
            client.begin("create", model="m", prompt="x", attach=False, on_disconnect="keep")
            (connection,) = server.app.registry
            await eventually(lambda: _received(connection) > LONG)
            await server.app.reload(settings(key("ops", "two", (*ALL, "admin"))))
        assert await client.closed() == 4401
        await eventually(lambda: not len(server.app.registry))
        listed = (await fetch(server.url + "/v1/admin/streams", headers=bearer("two")))[2]["data"]
        assert listed == []
