from __future__ import annotations

import asyncio

import pytest
from engine_kit import ANNA, Engine, Scripted
from eventually_kit import eventually

from tidegate.core.batching import BatchPolicy
from tidegate.core.events import Delta, GenerationRequest
from tidegate.core.notices import DRAINING, TOKEN_EXPIRED
from tidegate.core.principal import Principal
from tidegate.errors import Unauthenticated
from tidegate.providers.base import Sink
from tidegate.stores.memory import MemoryStore
from tidegate.stores.records import Look
from tidegate.streams.reader import Reader

pytestmark = pytest.mark.anyio


async def hang(request: GenerationRequest, sink: Sink) -> None:
    sink.emit([Delta("Well, ")])
    await asyncio.Event().wait()


class Slow(MemoryStore):
    """A store whose next answer, once it is `slow`, comes when the test says so."""

    def __init__(self) -> None:
        super().__init__(max_generation_bytes=1 << 20)
        self.slow = False
        self.asked = asyncio.Event()
        self.go_on = asyncio.Event()

    async def look(self, stream: str) -> Look:
        found = await super().look(stream)
        if self.slow:
            self.slow = False
            self.asked.set()
            await self.go_on.wait()
        return found


async def holder(engine: Engine, stream: str) -> Principal:
    token, _ = await engine.service.share(stream, ANNA, 60)
    guest = await engine.service.shares.holder(token)
    assert guest is not None
    return guest


async def test_a_revoked_token_does_not_read_on() -> None:
    """Whether its reader was attached before the revocation or is being attached: nobody reads by it any more."""
    store = Slow()
    engine = Engine(store=store)
    engine.add(Scripted(hang))
    stream = await engine.start()
    guest = await holder(engine, stream)
    store.slow = True
    late = asyncio.create_task(engine.follow(stream, viewer=guest))
    await store.asked.wait()
    await engine.service.unshare(stream, ANNA)
    store.go_on.set()
    with pytest.raises(Unauthenticated):
        await late
    assert not engine.service.readers.attached
    again = await holder(engine, stream)
    reader = await engine.follow(stream, viewer=again)
    await engine.service.unshare(stream, ANNA)
    assert reader.told
    reader.close()


async def sent_away(engine: Engine, stream: str, reason: str, *, returns: bool) -> None:
    reader = await engine.service.follow(
        stream, ANNA, after=None, batch=BatchPolicy(), transport="sse", returns=returns
    )
    engine.service.readers.send_away(reader, reason)
    reader.close()


@pytest.mark.parametrize("reason", [TOKEN_EXPIRED, "age"])
@pytest.mark.parametrize("grace", [0, 0.01])
async def test_who_is_sent_away_finds_its_answer_alive_but_not_for_ever(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, reason: str, grace: float
) -> None:
    """Without a grace, too, a reader has time to come back; if it does not, nothing is generated for nobody."""
    monkeypatch.setattr("tidegate.streams.readers.RETURN_SECONDS", 0.05)
    provider = Scripted(hang)
    engine.add(provider)
    stream = await engine.start(grace=grace)
    await eventually(lambda: provider.running == 1)
    left_at = asyncio.get_running_loop().time()
    await sent_away(engine, stream, reason, returns=True)
    back = await engine.follow(stream)
    assert provider.running == 1
    engine.service.readers.send_away(back, reason)
    back.close()
    await eventually(lambda: provider.cancelled == 1)
    assert asyncio.get_running_loop().time() - left_at >= 0.045


async def test_who_cannot_come_back_has_left(engine: Engine) -> None:
    """Where the path knows no return, being sent away is a departure like any other."""
    provider = Scripted(hang)
    engine.add(provider)
    stream = await engine.start(grace=0)
    await eventually(lambda: provider.running == 1)
    await sent_away(engine, stream, TOKEN_EXPIRED, returns=False)
    await eventually(lambda: provider.cancelled == 1)


@pytest.mark.parametrize("returns", [True, False])
async def test_a_server_that_stops_cancels_nothing_by_it(engine: Engine, returns: bool) -> None:
    """Whom it sends away, whose time then is over as well, has not left; no timer runs for it."""
    provider = Scripted(hang)
    engine.add(provider)
    stream = await engine.start(grace=0)
    await eventually(lambda: provider.running == 1)
    reader = await engine.service.follow(
        stream, ANNA, after=None, batch=BatchPolicy(), transport="sse", returns=returns
    )
    engine.service.readers.send_away(reader, DRAINING)
    engine.service.readers.send_away(reader, TOKEN_EXPIRED)
    reader.close()
    assert provider.running == 1
    live = engine.service.node.live.get(stream)
    assert live.on_disconnect._timer is None  # type: ignore[union-attr]


async def test_who_has_left_is_not_sent_away(engine: Engine) -> None:
    """An operator's or a timer's word that comes too late does nothing."""
    engine.add(Scripted(hang))
    reader: Reader = await engine.follow(await engine.start())
    reader.close()
    engine.service.readers.send_away(reader, "age")
    assert not reader.told
