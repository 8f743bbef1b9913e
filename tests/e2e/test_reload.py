"""What becomes of open connections when the models and keys of the server change under them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
import pytest
from api_kit import Answer, call, fetch
from reload_kit import ALL, BODY, REPLAY, bearer, key, served, settings
from socket_kit import SocketClient, socket

from tidegate.core.difference import Difference
from tidegate.core.sse import ServerSentEvent
from tidegate.errors import ConfigError, Draining
from tidegate.providers.settings import OpenAIModel, ReplayModel

pytestmark = pytest.mark.anyio


async def until(answer: Answer, *types: str) -> list[ServerSentEvent]:
    """The events up to the first of these types, and all that come after it."""
    found = [event async for event in answer.events()]
    assert found[-1].event in types, found
    return found


async def first(events: AsyncIterator[ServerSentEvent], kind: str) -> ServerSentEvent:
    async with asyncio.timeout(20):
        return await anext(event async for event in events if event.event == kind)


async def said(answer: Answer) -> AsyncIterator[ServerSentEvent]:
    async for event in answer.events():
        yield event


async def test_a_key_that_is_replaced_ends_its_readers_and_not_their_answers() -> None:
    """They are told to come back, and with the next key of the same name they read on where they were."""
    async with served(key("ci", "one"), key("ops", "other")) as server:
        async with (
            call(server.url + "/v1/streams", "POST", BODY, bearer("one")) as mine,
            call(server.url + "/v1/streams", "POST", BODY, bearer("other")) as others,
        ):
            stream, beside = mine.headers["tidegate-stream"], others.headers["tidegate-stream"]
            events, more = said(mine), said(others)
            await first(events, "delta")
            await first(more, "delta")
            changes = await server.app.reload(settings(key("ci", "two"), key("ops", "other")))
            assert (changes.keys, changes.models) == (Difference(changed=("ci",)), Difference())
            assert '"token_expired"' in (await first(events, "reconnect")).data
            assert [each async for each in events] == []
            assert (await fetch(f"{server.url}/v1/streams/{stream}/events", headers=bearer("one")))[0] == 401
            assert await server.status(stream, "two") == "running"
            server.may_end.set()
            await first(more, "completed")
        async with call(f"{server.url}/v1/streams/{stream}/events", headers=bearer("two")) as again:
            assert (await until(again, "completed"))[-1].event == "completed"
        assert await server.status(beside, "other") == "completed"


async def test_a_socket_of_a_removed_key_is_closed() -> None:
    """With 4401, as one whose token has expired; those of other keys stay open."""
    async with (
        served(key("ci", "one"), key("ops", "other")) as server,
        socket(server.url, headers=bearer("one")) as mine,
        socket(server.url, headers=bearer("other")) as others,
    ):
        stream = (await mine.call("create", model="m", prompt="x", on_disconnect="cancel"))["stream"]
        await others.call("subscribe", topic="room")
        changes = await server.app.reload(settings(key("ops", "other", (*ALL, "admin"))))
        assert changes.keys == Difference(changed=("ops",), removed=("ci",))
        assert await mine.closed() == 4401
        await others.call("ping")
        # What the key that stays may do now holds for what is open, too.
        assert (await others.call("attach", stream=stream))["stream"] == stream
        assert await server.status(stream, "other") == "running"


async def test_what_a_narrowed_key_does_not_cover_ends() -> None:
    """On sockets and event streams alike: the rest goes on, and what it may do now holds at once."""
    async with (
        served(key("ci", "one")) as server,
        socket(server.url, headers=bearer("one")) as client,
        call(server.url + "/v1/streams", "POST", BODY, bearer("one")) as begun,
        call(server.url + "/v1/topics/room/events", headers=bearer("one")) as room,
    ):
        stream, events, messages = begun.headers["tidegate-stream"], said(begun), said(room)
        await first(messages, "subscribed")
        async with call(f"{server.url}/v1/streams/{stream}/events", headers=bearer("one")) as found:
            await client.call("subscribe", topic="room")
            created = (await client.call("create", model="m", prompt="x"))["stream"]
            watched = said(found)
            await first(watched, "delta")
            await server.app.reload(settings(key("ci", "one", ("generate",))))
            assert '"token_expired"' in (await first(watched, "reconnect")).data
        assert '"token_expired"' in (await first(messages, "reconnect")).data
        assert (await _told(client, "topic"))["topic"] == "room"
        server.may_end.set()
        await first(events, "completed")
        assert (await client.until("completed"))[-1]["stream"] == created
        with pytest.raises(Exception, match="lack the scope 'subscribe'"):
            await client.call("subscribe", topic="room")


async def _told(client: SocketClient, kind: str) -> Mapping[str, Any]:
    while True:
        found = await client.event(20)
        if found["type"] == "reconnect" and kind in found:
            return found


async def test_an_open_server_can_begin_to_ask_who_is_there_and_not_the_other_way_round() -> None:
    """Who is connected without a key has to come back with one; a file that has lost its keys opens nothing."""
    async with served() as server:
        async with call(server.url + "/v1/streams", "POST", BODY) as answer, socket(server.url) as client:
            events = said(answer)
            await first(events, "delta")
            await server.app.reload(settings(key("ci", "one")))
            await first(events, "reconnect")
            assert await client.closed() == 4401
        assert (await fetch(server.url + "/v1/models"))[0] == 401
        with pytest.raises(ConfigError, match=r"auth\.keys.*the last key is gone.*restarted"):
            await server.app.reload(settings())
        assert (await fetch(server.url + "/v1/models"))[0] == 401
        assert (await fetch(server.url + "/v1/models", headers=bearer("one")))[0] == 200


async def test_models_come_and_go_for_those_who_ask() -> None:
    """Those of the application stay; what is measured has the new names from the start."""
    async with served(key("ci", "one")) as server:
        later = ReplayModel(name="later", rate=0, tokens=2)
        changes = await server.app.reload(settings(key("ci", "one"), models=(later,)))
        assert str(changes) == "models added: later; models removed: replay"
        _, _, listed = await fetch(server.url + "/v1/models", headers=bearer("one"))
        assert [each["id"] for each in listed["data"]] == ["later", "m"]
        counted = {(each.metric, each.labels) for each in server.app.series()}
        assert ("tidegate_generation_seconds", ("later",)) in counted
        body = {"model": "later", "prompt": "x", "stream": False}
        assert (await fetch(server.url + "/v1/streams", "POST", body, bearer("one")))[2]["status"] == "completed"
        assert str(await server.app.reload(settings(key("ci", "one"), models=(later,)))) == (
            "no model and no key has changed"
        )


async def test_what_takes_a_restart_is_named_and_left_alone() -> None:
    """The rest of the same settings is taken over."""
    async with served(key("ci", "one")) as server:
        later = settings(key("ci", "one"), key("ops", "two"))
        server_settings = msgspec.structs.replace(later.server, port=9, drain_seconds=1)
        changes = await server.app.reload(msgspec.structs.replace(later, server=server_settings))
        assert changes.ignored == ("server.port", "server.drain_seconds")
        assert changes.keys == Difference(added=("ops",))


async def test_nothing_is_taken_over_by_a_server_that_is_about_to_stop() -> None:
    """It would be closed at once."""
    async with served(key("ci", "one")) as server:
        await fetch(server.url + "/v1/models", headers=bearer("one"))
        await server.app.drain()
        with pytest.raises(Draining):
            await server.app.reload(settings(key("ops", "two")))


async def test_what_a_removed_key_has_shared_is_taken_back_by_the_next_of_its_name() -> None:
    """Or by an admin: the link itself is another credential, and outlives the key that made it."""
    later = key("ops", "two", ("admin",))
    for owner, secret in ((key("ci", "next"), "next"), (later, "two")):
        async with served(key("ci", "one"), later) as server:
            body = {"model": "replay", "prompt": "x", "stream": False}
            stream = (await fetch(server.url + "/v1/streams", "POST", body, bearer("one")))[2]["id"]
            path = f"{server.url}/v1/streams/{stream}"
            token = (await fetch(path + "/share", "POST", {}, bearer("one")))[2]["token"]
            await server.app.reload(settings(*{owner.name: owner, later.name: later}.values()))
            assert (await fetch(path, headers=bearer("one")))[0] == 401
            assert (await fetch(path, headers=bearer(token)))[0] == 200
            assert (await fetch(path + "/share", "DELETE", None, bearer(secret)))[0] == 204
            assert (await fetch(path, headers=bearer(token)))[0] == 401


async def test_streams_that_were_nobodys_are_an_admins_alone_once_there_are_keys() -> None:
    """Whoever began one comes back as somebody else, for whom it is not there."""
    async with served() as server:
        stream = (await fetch(server.url + "/v1/streams", "POST", {**BODY, "stream": False, "background": True}))[2][
            "id"
        ]
        await server.app.reload(settings(key("ci", "one"), key("ops", "two", ("admin",))))
        path = f"{server.url}/v1/streams/{stream}"
        assert (await fetch(path, headers=bearer("one")))[0] == 404
        assert (await fetch(path, headers=bearer("two")))[0] == 200
        assert (await fetch(path, "DELETE", None, bearer("two")))[0] == 204


async def test_what_was_refused_is_measured_nowhere() -> None:
    """Series of models that were never served would grow with each faulty file."""
    async with served() as server:
        before = server.app.series()
        remote = OpenAIModel(name="remote", base_url="http://127.0.0.1:9/v1")
        faulty = ReplayModel(name="faulty", file="/nowhere")
        with pytest.raises(ConfigError, match="nowhere"):
            await server.app.reload(settings(models=(REPLAY, remote, faulty)))
        assert len(server.app.series()) == len(before)
        await server.app.reload(settings(models=(REPLAY, remote)))
        measured = {each.labels for each in server.app.series() if each.metric == "tidegate_upstream_attempts_total"}
        assert measured == {("remote", "127.0.0.1:9", outcome) for outcome in ("answered", "failed", "cancelled")}
