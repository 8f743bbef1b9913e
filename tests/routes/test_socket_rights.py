from __future__ import annotations

import pytest

from tidegate import Tidegate
from tidegate.core.principal import Principal
from tidegate.routes.socket_rights import FOUND, STARTED, TOPIC, covers

pytestmark = pytest.mark.anyio

STREAM = ("stream", "gen_1")
ROOM = ("topic", "room")


async def test_credentials_without_the_scope_cover_nothing() -> None:
    """Whoever may start a stream may go on with that one, but not with those it found."""
    service = Tidegate().service
    await service.open()
    stream, _ = await service.open_client_stream({}, owner=Principal("key:a", frozenset({"generate"})))
    starter = Principal("key:a", frozenset({"generate"}))
    assert await covers(service, starter, ("stream", stream), STARTED)
    assert not await covers(service, starter, ("stream", stream), FOUND)
    assert not await covers(service, starter, ROOM, TOPIC)
    await service.close()


async def test_what_is_somebody_elses_is_not_covered() -> None:
    """Nor is what is not there."""
    service = Tidegate().service
    await service.open()
    stream, _ = await service.open_client_stream({}, owner=Principal("key:a", frozenset({"read"})))
    other = Principal("key:b", frozenset({"read"}))
    assert not await covers(service, other, ("stream", stream), FOUND)
    assert not await covers(service, other, STREAM, FOUND)
    await service.close()


async def test_a_token_may_name_its_topics() -> None:
    """What it does not name it does not cover, though it may subscribe."""
    service = Tidegate().service
    narrow = Principal("jwt::a", frozenset({"subscribe"}), topics_read=("news",))
    assert await covers(service, narrow, ("topic", "news"), TOPIC)
    assert not await covers(service, narrow, ROOM, TOPIC)


async def test_an_admin_reads_what_is_anybodys() -> None:
    """Its scope includes that one, of streams it found."""
    service = Tidegate().service
    await service.open()
    stream, _ = await service.open_client_stream({}, owner=Principal("key:a", frozenset({"read"})))
    assert await covers(service, Principal("key:root", frozenset({"admin"})), ("stream", stream), FOUND)
    await service.close()
